{{/* What each process is told. A setting that has no value of its own here is set by the part's `settings`. */}}

{{- define "chatacter.chattrEnv" -}}
{{ include "chatacter.processEnv" (list . 8000) }}
- name: CHATACTER_HOME
  value: /opt/chatacter
{{ include "chatacter.storesEnv" . }}
{{ include "chatacter.predictorsEnv" . }}
{{ include "chatacter.modelEnv" . }}
{{ include "chatacter.memoryEnv" . }}
{{- with include "chatacter.embeddingsKeyRef" . | trim }}
- name: EMBEDDINGS__API_KEY
  valueFrom:
    secretKeyRef:
      {{- . | nindent 6 }}
{{- end }}
- name: REQUIRE_API_KEY
  value: {{ .Values.auth.required | quote }}
{{- if include "chatacter.apiKeysRef" . | fromYaml }}
- name: API_KEYS_FILE
  value: /etc/chatacter/keys/api_keys.json
{{- end }}
- name: API_RATE_LIMIT
  value: {{ int .Values.rateLimit | quote }}
{{- with .Values.corsOrigins }}
- name: CORS_ORIGINS
  value: {{ join "," . | quote }}
{{- end }}
{{- if include "chatacter.charactersConfigMap" . }}
- name: CHARACTER_CONFIG_PATH
  value: /etc/chatacter/characters
{{- end }}
- name: ENABLE_UI
  value: "false"
- name: RUN_DISPATCHER
  value: {{ include "chatacter.dispatcherRuns" . | empty | quote }}
{{- if not (include "chatacter.dispatcherRuns" .) }}
- name: DISPATCHER_CONCURRENCY
  value: {{ .Values.dispatcher.concurrency | quote }}
{{- end }}
- name: SHUTDOWN_GRACE
  value: {{ .Values.chattr.shutdownGrace | quote }}
{{- end }}

{{/* The dispatcher meets Redis, the predictors and the assets; no provider's key, no people's keys. */}}
{{- define "chatacter.dispatcherEnv" -}}
{{ include "chatacter.processEnv" (list . 8000) }}
{{ include "chatacter.storesEnv" . }}
{{ include "chatacter.predictorsEnv" . }}
- name: DISPATCHER_CONCURRENCY
  value: {{ .Values.dispatcher.concurrency | quote }}
- name: SHUTDOWN_GRACE
  value: {{ .Values.dispatcher.shutdownGrace | quote }}
{{- end }}

{{- define "chatacter.uiEnv" -}}
{{ include "chatacter.processEnv" (list . 8000) }}
- name: CHATTR__URL
  value: {{ include "chatacter.chattrUrl" . }}
- name: REQUIRE_API_KEY
  value: {{ .Values.auth.required | quote }}
- name: SHUTDOWN_GRACE
  value: {{ .Values.ui.shutdownGrace | quote }}
{{- end }}

{{/* Redis, and where media lie. */}}
{{- define "chatacter.storesEnv" -}}
- name: RECORDS__URL
  value: {{ include "chatacter.recordsUrl" . | quote }}
{{- if not .Values.redis.enabled }}
{{- with .Values.externalRedis.username }}
- name: RECORDS__USERNAME
  value: {{ . | quote }}
{{- end }}
{{- if .Values.externalRedis.durable }}
- name: RECORDS__DURABLE
  value: "true"
{{- end }}
{{- end }}
{{- $password := include "chatacter.redisSecretRef" . | trim }}
{{- with $password }}
- name: RECORDS__PASSWORD
  valueFrom:
    secretKeyRef:
      {{- . | nindent 6 }}
{{- end }}
{{- with include "chatacter.cacheUrl" . }}
- name: CACHE__URL
  value: {{ . | quote }}
{{- with ternary "" $.Values.externalRedis.username $.Values.redis.enabled }}
- name: CACHE__USERNAME
  value: {{ . | quote }}
{{- end }}
{{- with $password }}
- name: CACHE__PASSWORD
  valueFrom:
    secretKeyRef:
      {{- . | nindent 6 }}
{{- end }}
{{- end }}
- name: ASSETS_URL
  value: {{ .Values.assets.url | default "file:///var/lib/chatacter/assets" | quote }}
{{- end }}

{{/* Where speech and video come from; a modality without a predictor is switched off. */}}
{{- define "chatacter.predictorsEnv" -}}
{{- $speech := include "chatacter.speech" . | fromJson -}}
{{- $video := include "chatacter.video" . | fromJson -}}
- name: ENABLE_VOICE_GENERATION
  value: {{ $speech.enabled | quote }}
- name: ENABLE_VIDEO_GENERATION
  value: {{ $video.enabled | quote }}
{{- if $speech.enabled }}
- name: VOCALIZR__MODEL
  value: {{ $speech.model | quote }}
{{- include "chatacter.predictorEnv" (list "VOCALIZR" $speech) }}
{{- end }}
{{- if $video.enabled }}
{{- include "chatacter.predictorEnv" (list "VISUALIZR" $video) }}
{{- end }}
{{- end }}

{{- define "chatacter.predictorEnv" -}}
{{- $prefix := index . 0 }}
{{- with index . 1 }}
- name: {{ $prefix }}__URL
  value: {{ .url | quote }}
{{- with .urls }}
- name: {{ $prefix }}__URLS
  value: {{ toJson . | quote }}
{{- end }}
{{- with .timeout }}
- name: {{ $prefix }}__TIMEOUT
  value: {{ . | toString | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether dispatchers are pods of their own; without video there is nothing to dispatch. */}}
{{- define "chatacter.dispatcherRuns" -}}
{{- if and .Values.dispatcher.enabled (include "chatacter.video" . | fromJson).enabled }}true{{ end -}}
{{- end }}

{{/* Where records, jobs and sessions lie. */}}
{{- define "chatacter.recordsUrl" -}}
{{- if .Values.redis.enabled -}}
{{- printf "redis://%s:6379/0" (include "chatacter.host" (list . (include "chatacter.name" (list . "redis")))) -}}
{{- else -}}
{{- required "There is no Redis: leave redis.enabled=true, or set externalRedis.url to a durable Redis of yours, e.g. rediss://redis.example.org:6379/0." .Values.externalRedis.url -}}
{{- end -}}
{{- end }}

{{/* The evicting cache's URL; nothing when one Redis serves all. */}}
{{- define "chatacter.cacheUrl" -}}
{{- if not .Values.redis.enabled -}}
{{- .Values.externalRedis.cacheUrl -}}
{{- else if dig "cache" "enabled" false .Values.redis -}}
{{- printf "redis://%s:6379/0" (include "chatacter.host" (list . (include "chatacter.name" (list . "redis-cache")))) -}}
{{- end -}}
{{- end }}

{{/* Long-term memory, or that there is none. */}}
{{- define "chatacter.memoryEnv" -}}
- name: ENABLE_LONG_TERM_MEMORY
  value: {{ .Values.longTermMemory.enabled | quote }}
{{- if .Values.longTermMemory.enabled }}
- name: VECTOR_DATABASE__URL
  value: {{ include "chatacter.qdrantUrl" . | quote }}
{{- with include "chatacter.qdrantSecretRef" . | trim }}
- name: VECTOR_DATABASE__API_KEY
  valueFrom:
    secretKeyRef:
      {{- . | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "chatacter.qdrantUrl" -}}
{{- if .Values.qdrant.enabled -}}
{{- printf "http://%s:6333" (include "chatacter.host" (list . (include "chatacter.name" (list . "qdrant")))) -}}
{{- else -}}
{{- required "Long-term memory needs Qdrant: leave qdrant.enabled=true, set externalQdrant.url (e.g. https://xyz.cloud.qdrant.io:6333), or set longTermMemory.enabled=false." .Values.externalQdrant.url -}}
{{- end -}}
{{- end }}

{{/* The language model: a provider, or a model of this release's own. */}}
{{- define "chatacter.modelEnv" -}}
- name: MODEL__URL
  value: {{ include "chatacter.llmUrl" . | quote }}
- name: MODEL__NAME
  value: {{ include "chatacter.llmName" . | quote }}
{{- with .Values.model.alternatives }}
- name: MODEL__ALTERNATIVES
  value: {{ join "," . | quote }}
{{- end }}
{{- with include "chatacter.modelKeyRef" . | trim }}
- name: MODEL__API_KEY
  valueFrom:
    secretKeyRef:
      {{- . | nindent 6 }}
{{- end }}
{{- range $setting, $value := dict "TEMPERATURE" .Values.model.temperature "MAX_TOKENS" .Values.model.maxTokens "CONTEXT_TOKENS" .Values.model.contextTokens "TIMEOUT" .Values.model.timeout }}
{{- if not (kindIs "invalid" $value) }}
- name: MODEL__{{ $setting }}
  value: {{ toJson $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where the key of the embeddings endpoint lies, as the provider's does; without an endpoint there is none. */}}
{{- define "chatacter.embeddingsKeyRef" -}}
{{- if .Values.chattr.settings.EMBEDDINGS__URL -}}
{{- $own := dict "value" .Values.secrets.embeddingsApiKey "existingSecret" .Values.secrets.existingSecret "existingSecretKey" "embeddings-api-key" -}}
{{- with include "chatacter.secretRef" (dict "context" . "own" $own "made" (include "chatacter.name" (list . "embeddings")) "key" "embeddings-api-key") | trim }}
{{- . }}
{{- if or $own.existingSecret (not $own.value) }}
optional: true
{{- end }}
{{- end }}
{{- end -}}
{{- end }}

{{/* Where the provider's key lies. In global.existingSecret it may be missing, because local servers need none. */}}
{{- define "chatacter.modelKeyRef" -}}
{{- if not .Values.model.fromInference -}}
{{- $own := dict "value" .Values.secrets.modelApiKey "existingSecret" .Values.secrets.existingSecret "existingSecretKey" "model-api-key" -}}
{{- with include "chatacter.secretRef" (dict "context" . "own" $own "made" (include "chatacter.name" (list . "model")) "key" "model-api-key") | trim }}
{{- . }}
{{- if not (or $own.value $own.existingSecret) }}
optional: true
{{- end }}
{{- end }}
{{- end -}}
{{- end }}

{{- define "chatacter.apiKeysRef" -}}
{{- $own := dict "value" .Values.secrets.apiKeys "existingSecret" .Values.secrets.existingSecret "existingSecretKey" "api_keys.json" -}}
{{- if .Values.auth.required -}}
{{- include "chatacter.secretRef" (dict "context" . "own" $own "made" (include "chatacter.name" (list . "keys")) "key" "api_keys.json") -}}
{{- end -}}
{{- end }}
