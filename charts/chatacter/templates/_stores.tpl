{{/* Where Chattr finds the secrets of Redis and Qdrant: this release's own, or those outside. */}}

{{- define "chatacter.redisSecretRef" -}}
{{- if .Values.redis.enabled -}}
{{- include "chatacter.redisPasswordRef" (dict "context" . "redis" .Values.redis) -}}
{{- else -}}
{{- $external := .Values.externalRedis -}}
{{- $own := dict "value" $external.password "existingSecret" $external.existingSecret "existingSecretKey" $external.existingSecretKey -}}
{{- if or $own.value $own.existingSecret -}}
{{- include "chatacter.secretRef" (dict "context" . "own" $own "made" (include "chatacter.name" (list . "external-redis")) "key" "redis-password") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "chatacter.qdrantSecretRef" -}}
{{- if .Values.qdrant.enabled -}}
{{- include "chatacter.qdrantApiKeyRef" (dict "context" . "qdrant" .Values.qdrant) -}}
{{- else -}}
{{- $external := .Values.externalQdrant -}}
{{- $own := dict "value" $external.apiKey "existingSecret" $external.existingSecret "existingSecretKey" $external.existingSecretKey -}}
{{- if or $own.value $own.existingSecret -}}
{{- include "chatacter.secretRef" (dict "context" . "own" $own "made" (include "chatacter.name" (list . "external-qdrant")) "key" "qdrant-api-key") -}}
{{- end -}}
{{- end -}}
{{- end }}
