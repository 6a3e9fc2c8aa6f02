{{/* The prefix of all names. It leaves room for suffixes of 23 characters. */}}
{{- define "payment-service.name" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The labels that select the pods of this release. */}}
{{- define "payment-service.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "payment-service.labels" -}}
{{ include "payment-service.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The Deployments as JSON, by role. `all` is a Deployment that runs every role. */}}
{{- define "payment-service.roles" -}}
{{- $roles := default (dict "all" (dict "replicas" .Values.replicas)) .Values.roles -}}
{{- if .Values.pages.enabled -}}
{{- $roles = merge (dict "pages" (pick .Values.pages "replicas" "resources")) $roles -}}
{{- end -}}
{{- toJson $roles -}}
{{- end -}}

{{/* The name of one Deployment. Takes a dict of root and role. */}}
{{- define "payment-service.roleName" -}}
{{- include "payment-service.name" .root }}{{ if ne .role "all" }}-{{ .role }}{{ end -}}
{{- end -}}

{{- define "payment-service.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "payment-service.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* `yes` if Stripe is one of the running providers, as it is by default. */}}
{{- define "payment-service.stripe" -}}
{{- if has "stripe" (splitList "," (default "stripe" .Values.settings.PROVIDERS | nospace)) }}yes{{ end -}}
{{- end -}}

{{/* The Secrets with DB_DSN: for the service, for the pages, and for the owner of the tables. */}}
{{- define "payment-service.databaseSecret" -}}
{{- default (printf "%s-database" (include "payment-service.name" .)) .Values.database.existingSecret -}}
{{- end -}}

{{- define "payment-service.operatorSecret" -}}
{{- default (printf "%s-operator" (include "payment-service.name" .)) .Values.database.operator.existingSecret -}}
{{- end -}}

{{- define "payment-service.ownerSecret" -}}
{{- with .Values.database.owner -}}
{{- if .existingSecret -}}
{{- .existingSecret -}}
{{- else if .dsn -}}
{{- printf "%s-owner" (include "payment-service.name" $) -}}
{{- else -}}
{{- include "payment-service.databaseSecret" $ -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The owner's connection string if the values contain it; empty if an existing Secret does. */}}
{{- define "payment-service.ownerDsn" -}}
{{- if not .Values.database.owner.existingSecret -}}
{{- .Values.database.owner.dsn | default (ternary "" .Values.database.dsn (ne .Values.database.existingSecret "")) -}}
{{- end -}}
{{- end -}}
