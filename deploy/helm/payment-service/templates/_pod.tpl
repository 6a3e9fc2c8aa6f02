{{/* Settings that are not secrets. Helm reads a number as a float, which would be printed as 1e+06. */}}
{{- define "payment-service.env" -}}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ ternary (int64 $value | toString) (toString $value) (kindIs "float64" $value) | quote }}
{{- end }}
{{- range $name, $_ := .Values.secretSettings }}
- name: {{ $name }}_FILE
  value: /run/secrets/payment-service/{{ $name }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The variable that names a secret's file. Takes the secret's name. */}}
{{- define "payment-service.secretEnv" -}}
- name: {{ . }}_FILE
  value: /run/secrets/payment-service/{{ . }}
{{- end -}}

{{/* The files of secrets. Takes a dict of root, database (the Secret with DB_DSN) and stripe (non-empty if Stripe runs). */}}
{{- define "payment-service.volumes" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ .database }}
          items: [{key: dsn, path: DB_DSN}]
      {{- if .stripe }}
      - secret:
          name: {{ default (printf "%s-stripe" (include "payment-service.name" .root)) .root.Values.stripe.existingSecret }}
          items: [{key: secret-key, path: STRIPE_SECRET_KEY}, {key: webhook-secret, path: STRIPE_WEBHOOK_SECRET}]
      {{- end }}
      {{- range $name, $from := .root.Values.secretSettings }}
      - secret:
          name: {{ $from.secret }}
          items: [{key: {{ $from.key }}, path: {{ $name }}}]
      {{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "payment-service.volumeMounts" -}}
- {name: secrets, mountPath: /run/secrets/payment-service, readOnly: true}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "payment-service.image" -}}
{{- $name := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- with .Values.image.digest -}}
{{- $name = printf "%s@%s" $name . -}}
{{- end -}}
image: {{ $name | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* The least privileges of a container. */}}
{{- define "payment-service.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The common part of every pod. Service links would add variables for each Service of the namespace to the environment. */}}
{{- define "payment-service.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
  {{- with .Values.podSecurityContext }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* The container that migrates the database to the schema of this version. */}}
{{- define "payment-service.migrate" -}}
name: migrate
{{ include "payment-service.image" . }}
args: [migrate]
securityContext:
  {{- include "payment-service.confined" . | nindent 2 }}
env:
  {{- include "payment-service.env" . | nindent 2 }}
  {{- include "payment-service.secretEnv" "DB_DSN" | nindent 2 }}
resources: {{ toYaml .Values.jobResources | nindent 2 }}
volumeMounts:
  {{- include "payment-service.volumeMounts" . | nindent 2 }}
{{- end -}}
