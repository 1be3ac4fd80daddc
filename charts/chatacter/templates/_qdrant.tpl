{{/*
Where the API key of the release's own Qdrant lies, as a secretKeyRef's fields. Takes a dict: context, qdrant (the values
of `qdrant`, which the umbrella and the subchart see at different places).
*/}}
{{- define "chatacter.qdrantApiKeyRef" -}}
{{- $auth := .qdrant.auth -}}
{{- $own := dict "value" $auth.apiKey "existingSecret" $auth.existingSecret "existingSecretKey" $auth.existingSecretKey -}}
{{- $made := include "chatacter.name" (list .context "qdrant") -}}
{{- $ref := include "chatacter.secretRef" (dict "context" .context "own" $own "made" $made "key" "qdrant-api-key") | trim -}}
{{- required "Qdrant needs an API key: set qdrant.auth.apiKey (e.g. from `openssl rand -hex 32`), qdrant.auth.existingSecret, or global.existingSecret with the key qdrant-api-key." $ref -}}
{{- end }}
