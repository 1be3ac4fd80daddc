{{/*
Where a secret lies, as a secretKeyRef's fields: the operator's own Secret for it, else the one that this chart makes
from the value, else global.existingSecret. Empty when nobody gave it. Takes a dict: context, own (value,
existingSecret, existingSecretKey), made (name of the Secret made from the value), key (the key in it and in
global.existingSecret).
*/}}
{{- define "chatacter.secretRef" -}}
{{- $global := .context.Values.global.existingSecret -}}
{{- if .own.existingSecret }}
name: {{ .own.existingSecret | quote }}
key: {{ .own.existingSecretKey | default .key | quote }}
{{- else if .own.value }}
name: {{ .made | quote }}
key: {{ .key | quote }}
{{- else if $global }}
name: {{ $global | quote }}
key: {{ .key | quote }}
{{- end }}
{{- end }}

{{/*
What an annotation may tell of values with secrets among them. Whoever reads pods reads it, so each text is cut down to
16 bits of its hash: enough to see that it changed, but for one time in 65,536, and shared by so many passwords that
trying a list of them against it finds none. Takes any value.
*/}}
{{- define "chatacter.fingerprint" -}}
{{- if kindIs "map" . -}}
{{- range $key, $value := . -}}{{ $key }}={{ include "chatacter.fingerprint" $value }},{{ end -}}
{{- else if kindIs "slice" . -}}
{{- range . -}}{{ include "chatacter.fingerprint" . }};{{ end -}}
{{- else -}}
{{- toJson . | sha256sum | trunc 4 -}}
{{- end -}}
{{- end }}

{{/* The token with which the services, KEDA and Prometheus speak inside the cluster. */}}
{{- define "chatacter.serviceTokenRef" -}}
{{- $made := include "chatacter.name" (list . "service-token") -}}
{{- $ref := include "chatacter.secretRef" (dict "context" . "own" .Values.global.serviceToken "made" $made "key" "service-token") -}}
{{- required "The services need a shared token: set global.serviceToken.value (e.g. from `openssl rand -hex 32`), global.serviceToken.existingSecret, or global.existingSecret with the key service-token." $ref -}}
{{- end }}
