{{/* Who answers: a provider, or a language model of inference.models, which KServe's runtime serves under /openai/v1. */}}

{{- define "chatacter.languageModel" -}}
{{- $key := .Values.model.fromInference -}}
{{- $model := get (.Values.inference.models | default dict) $key | default dict -}}
{{- if or (not .Values.inference.enabled) (ne ($model.modality | default "") "language") (eq (toString $model.enabled) "false") -}}
{{- fail (printf "model.fromInference names %q, and inference.models has no enabled model of modality language by that name: name one that it has, or set model.url to a provider." $key) -}}
{{- end -}}
{{- toYaml $model -}}
{{- end }}

{{- define "chatacter.llmUrl" -}}
{{- if .Values.model.fromInference -}}
{{- $model := include "chatacter.languageModel" . | fromYaml -}}
{{- printf "%s/openai/v1" (include "chatacter.modelUrl" (list . .Values.model.fromInference)) -}}
{{- else -}}
{{- .Values.model.url -}}
{{- end -}}
{{- end }}

{{- define "chatacter.llmName" -}}
{{- if .Values.model.fromInference -}}
{{- $model := include "chatacter.languageModel" . | fromYaml -}}
{{- .Values.model.name | default $model.servedName | default .Values.model.fromInference -}}
{{- else -}}
{{- .Values.model.name -}}
{{- end -}}
{{- end }}
