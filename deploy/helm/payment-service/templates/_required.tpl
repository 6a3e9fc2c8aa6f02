{{/* Values without a default. Each error says what to do. */}}
{{- define "payment-service.required" -}}
{{- $_ := required "settings.KAFKA_BROKERS is not set: the bootstrap servers of Kafka, host:port, comma-separated." .Values.settings.KAFKA_BROKERS -}}
{{- with .Values.database -}}
{{- $_ := required "database.existingSecret is not set: name a Secret whose key `dsn` holds the PostgreSQL URI (or set database.dsn)." (or .existingSecret .dsn) -}}
{{- end -}}
{{- if include "payment-service.stripe" . -}}
{{- with .Values.stripe -}}
{{- $_ := required "stripe.existingSecret is not set: name a Secret with the keys `secret-key` and `webhook-secret` (or set stripe.secretKey and stripe.webhookSecret)." (or .existingSecret (and .secretKey .webhookSecret)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
