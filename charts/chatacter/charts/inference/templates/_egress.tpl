{{/* Where a predictor may go: names, the collector, its weights, and what the model says. Takes a list: context, model. */}}
{{- define "inference.egress" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- $policy := $context.Values.global.networkPolicy -}}
- to:
    {{- toYaml $policy.dnsTo | nindent 4 }}
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- if hasKey $model "module" }}
{{- include "inference.egressToCollector" $context }}
{{- end }}
{{- if regexMatch "^(s3|gs|hf|https|abfs)://" $model.storageUri }}
- to:
    {{- toYaml $policy.egressTo | nindent 4 }}
  ports:
    {{- range $policy.egressPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- with $model.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The release's own collector, or the port of the one outside. Takes the context. */}}
{{- define "inference.egressToCollector" -}}
{{- $telemetry := .Values.global.telemetry -}}
{{- if and $telemetry.enabled $telemetry.endpoint }}
{{- $url := urlParse $telemetry.endpoint }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) }}
- {{- with .Values.global.networkPolicy.externalTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - port: {{ $port }}
      protocol: TCP
{{- else if $telemetry.enabled }}
- to:
    - podSelector:
        matchLabels:
          {{- include "chatacter.selectorLabels" (list . "otel-collector") | nindent 10 }}
  ports:
    - port: 4318
      protocol: TCP
{{- end }}
{{- end }}
