{{/*
Where the password of the release's own Redis lies, as a secretKeyRef's fields. Takes a dict: context, redis (the values
of `redis`, which the umbrella and the subchart see at different places).
*/}}
{{- define "chatacter.redisPasswordRef" -}}
{{- $auth := .redis.auth -}}
{{- $own := dict "value" $auth.password "existingSecret" $auth.existingSecret "existingSecretKey" $auth.existingSecretKey -}}
{{- $made := include "chatacter.name" (list .context "redis") -}}
{{- $ref := include "chatacter.secretRef" (dict "context" .context "own" $own "made" $made "key" "redis-password") | trim -}}
{{- required "Redis needs a password: set redis.auth.password (e.g. from `openssl rand -hex 32`), redis.auth.existingSecret, or global.existingSecret with the key redis-password." $ref -}}
{{- end }}
