{{/* Text of the collector's configuration as it is: `$` begins a reference there. */}}
{{- define "chatacter.collector.plain" -}}
{{- replace "$" "$$" . | quote -}}
{{- end }}

{{/* The environment variable that holds a header of the export. */}}
{{- define "chatacter.collector.headerVariable" -}}
{{- printf "EXPORT_HEADER_%s" (regexReplaceAll "[^A-Za-z0-9]" . "_" | upper) -}}
{{- end }}

{{/* The collector's configuration. What has no way out is dropped at the end of its pipeline. */}}
{{- define "chatacter.collector.config" -}}
{{- $export := .Values.export -}}
extensions:
  health_check:
    endpoint: 0.0.0.0:13133
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 0.0.0.0:4317
      http:
        endpoint: 0.0.0.0:4318
processors:
  memory_limiter:
    check_interval: 1s
    limit_percentage: 75
    spike_limit_percentage: 20
  resource:
    attributes:
      # Two replicas of one service are two instances; else their metrics would be one series.
      - key: service.instance.id
        from_attribute: k8s.pod.name
        action: insert
      {{- range $name, $value := .Values.resourceAttributes }}
      - key: {{ $name }}
        value: {{ include "chatacter.collector.plain" $value }}
        action: upsert
      {{- end }}
  batch: {}
exporters:
  prometheus:
    endpoint: 0.0.0.0:8889
  {{- if $export.endpoint }}
  otlp_http:
    endpoint: {{ include "chatacter.collector.plain" $export.endpoint }}
    {{- with merge (dict) $export.headers $export.secretHeaders }}
    headers:
      {{- range $name, $value := . }}
      {{- if kindIs "map" $value }}
      {{ $name }}: ${env:{{ include "chatacter.collector.headerVariable" $name }}}
      {{- else }}
      {{ $name }}: {{ include "chatacter.collector.plain" $value }}
      {{- end }}
      {{- end }}
    {{- end }}
  {{- else }}
  nop: {}
  {{- end }}
service:
  extensions: [health_check]
  telemetry:
    logs:
      encoding: json
    metrics:
      readers:
        - pull:
            exporter:
              prometheus:
                host: 0.0.0.0
                port: 8888
  pipelines:
    {{- $out := ternary "otlp_http" "nop" (not (empty $export.endpoint)) }}
    {{- range $signal, $exporters := dict "traces" (list $out) "logs" (list $out) "metrics" (ternary (list "prometheus" "otlp_http") (list "prometheus") (eq $out "otlp_http")) }}
    {{ $signal }}:
      receivers: [otlp]
      processors: [memory_limiter, resource, batch]
      exporters: [{{ join ", " $exporters }}]
    {{- end }}
{{- end }}

{{/* The container's ports, by name. */}}
{{- define "chatacter.collector.ports" -}}
otlp-grpc: 4317
otlp-http: 4318
prometheus: 8889
telemetry: 8888
health: 13133
{{- end }}
