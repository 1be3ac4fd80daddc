{{/* What every pod of the chart has in common. */}}

{{- define "chatacter.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "chatacter.containerSecurityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/*
Settings that every process of ours takes. Takes a list: context, port (0 where the platform sets it), and optionally
whether the pod may refer to its own fields (true unless said).
*/}}
{{- define "chatacter.processEnv" -}}
{{- $context := index . 0 -}}
{{- $knowsPod := or (lt (len .) 3) (index . 2) -}}
- name: HOST
  value: "0.0.0.0"
{{- with index . 1 }}
- name: PORT
  value: {{ . | quote }}
{{- end }}
- name: LOG_FORMAT
  value: json
- name: LOG_LEVEL
  value: {{ $context.Values.global.logLevel }}
- name: HOME
  value: /tmp
- name: SERVICE_TOKEN
  valueFrom:
    secretKeyRef:
      {{- include "chatacter.serviceTokenRef" $context | trim | nindent 6 }}
{{- with include "chatacter.otlpEndpoint" $context }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- with $context.Values.global.telemetry.headers.existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $context.Values.global.telemetry.headers.existingSecretKey | quote }}
{{- end }}
{{- if $knowsPod }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ include "chatacter.resourceAttributes" (list $context $knowsPod) | quote }}
{{- end }}
{{- end }}

{{/* Where telemetry goes: a collector outside, else the release's own; nothing when it is switched off. */}}
{{- define "chatacter.otlpEndpoint" -}}
{{- if .Values.global.telemetry.enabled -}}
{{- $own := printf "http://%s:4318" (include "chatacter.host" (list . (include "chatacter.name" (list . "otel-collector")))) -}}
{{- .Values.global.telemetry.endpoint | default $own -}}
{{- end -}}
{{- end }}

{{/*
OpenTelemetry's resource attributes for Kubernetes, and the operator's own; the kubelet fills in $(POD_NAME). Takes a
list: context, whether the pod's name is known.
*/}}
{{- define "chatacter.resourceAttributes" -}}
{{- $context := index . 0 -}}
{{- $attributes := dict "k8s.namespace.name" $context.Release.Namespace "service.namespace" $context.Release.Name -}}
{{- if index . 1 -}}
{{- $attributes = set $attributes "k8s.pod.name" "$(POD_NAME)" -}}
{{- end -}}
{{- $pairs := list -}}
{{- range $key, $value := merge (dict) $context.Values.global.telemetry.resourceAttributes $attributes -}}
{{- $pairs = append $pairs (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end }}

{{/* Environment variables from a map of setting to value. */}}
{{- define "chatacter.settingsEnv" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end }}

{{/* Where a pod may run. Takes the part's values. */}}
{{- define "chatacter.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{/* How long a pod may take to end: the pause before SIGTERM, its own grace, and a little. Takes the part's values. */}}
{{- define "chatacter.terminationGrace" -}}
{{- add (int .preStopSeconds) (int .shutdownGrace) 5 -}}
{{- end }}

{{- define "chatacter.preStop" -}}
{{- if gt (int .preStopSeconds) 0 }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .preStopSeconds }}
{{- end }}
{{- end }}
