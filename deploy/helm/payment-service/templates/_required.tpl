{{/* Values without a default. Each error says what to do. */}}
{{- define "payment-service.required" -}}
{{- $_ := required "settings.KAFKA_BROKERS is not set: the bootstrap servers of Kafka, host:port, comma-separated." .Values.settings.KAFKA_BROKERS -}}
{{- with .Values.database -}}
{{- $_ := required "database.existingSecret is not set: name a Secret whose key `dsn` holds the PostgreSQL URI (or set database.dsn)." (or .existingSecret .dsn) -}}
{{- end -}}
{{- if .Values.pages.enabled -}}
{{- with .Values.database.operator -}}
{{- $_ := required "database.operator.existingSecret is not set: the pages need the login of the operator's role. Name a Secret whose key `dsn` holds it (or set database.operator.dsn)." (or .existingSecret .dsn) -}}
{{- end -}}
{{- $_ := required "settings.ADMIN_URL is not set: the address at which people open the pages, https://host. Requests for other names are refused." .Values.settings.ADMIN_URL -}}
{{- if or .Values.settings.ADMIN_PORT .Values.settings.ADMIN_HOST -}}
{{- fail "settings.ADMIN_PORT and settings.ADMIN_HOST are set by pages.enabled: remove them from settings." -}}
{{- end -}}
{{- end -}}
{{- if include "payment-service.stripe" . -}}
{{- with .Values.stripe -}}
{{- $_ := required "stripe.existingSecret is not set: name a Secret with the keys `secret-key` and `webhook-secret` (or set stripe.secretKey and stripe.webhookSecret)." (or .existingSecret (and .secretKey .webhookSecret)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
