{{/* Where a predictor may go: names, the collector, its weights, and what the model says. Takes a list: context, model. */}}
{{- define "inference.egress" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- include "chatacter.rules" (list
  (include "chatacter.egressToDns" $context)
  (ternary (include "chatacter.egressToCollector" $context) "" (hasKey $model "module"))
  (include "inference.egressToWeights" .)
  (empty $model.extraEgress | ternary "" (toYaml $model.extraEgress))
) -}}
{{- end }}

{{/*
KServe fetches weights in the pod, and a language model without any fetches its own from a hub; a claim and an image are
brought by the node. Takes a list: context, model.
*/}}
{{- define "inference.egressToWeights" -}}
{{- $policy := (index . 0).Values.global.networkPolicy -}}
{{- $model := index . 1 -}}
{{- $fromHub := and (eq $model.modality "language") (not $model.storageUri) -}}
{{- if or $fromHub (regexMatch "^(s3|gs|hf|https|abfs)://" $model.storageUri) -}}
- to:
    {{- toYaml $policy.egressTo | nindent 4 }}
  ports:
    {{- range $policy.egressPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end }}
