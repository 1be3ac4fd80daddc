{{/* Where a predictor may go: names, the collector, its weights, and what the model says. Takes a list: context, model. */}}
{{- define "inference.egress" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- include "chatacter.rules" (list
  (include "chatacter.egressToDns" $context)
  (ternary (include "chatacter.egressToCollector" $context) "" (hasKey $model "module"))
  (include "inference.egressToWeights" .)
  (include "inference.egressToVoices" .)
  (empty $model.extraEgress | ternary "" (toYaml $model.extraEgress))
) -}}
{{- end }}

{{/*
KServe fetches weights in the pod, and a language model without any fetches its own from a hub; a claim and an image are
brought by the node. Takes a list: context, model.
*/}}
{{- define "inference.egressToWeights" -}}
{{- $model := index . 1 -}}
{{- $fromHub := and (eq $model.modality "language") (not $model.storageUri) -}}
{{- if or $fromHub (regexMatch "^(s3|gs|hf|https|abfs)://" $model.storageUri) -}}
{{- include "inference.egressOut" (index . 0) -}}
{{- end }}
{{- end }}

{{/* Voices of the users' own lie where all replicas reach them. Takes a list: context, model. */}}
{{- define "inference.egressToVoices" -}}
{{- if regexMatch "^(s3|gs)://" (index (index . 1).settings "VOCALIZR_VOICES_URL" | default "") -}}
{{- include "inference.egressOut" (index . 0) -}}
{{- end }}
{{- end }}

{{/* Out of the cluster, as the values allow it. Takes the context. */}}
{{- define "inference.egressOut" -}}
{{- $policy := .Values.global.networkPolicy -}}
- to:
    {{- toYaml $policy.egressTo | nindent 4 }}
  ports:
    {{- range $policy.egressPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
