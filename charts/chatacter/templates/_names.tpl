{{/* Names and labels. They depend on the release and on `global` alone, so that subcharts agree with the umbrella. */}}

{{- define "chatacter.fullname" -}}
{{- $fromRelease := ternary .Release.Name (printf "%s-chatacter" .Release.Name) (contains "chatacter" .Release.Name) -}}
{{- .Values.global.fullnameOverride | default $fromRelease | trunc 32 | trimSuffix "-" -}}
{{- end }}

{{/* The name of a part. Takes a list: context, part. */}}
{{- define "chatacter.name" -}}
{{- printf "%s-%s" (include "chatacter.fullname" (index . 0)) (index . 1) -}}
{{- end }}

{{/* What a part is selected by. Takes a list: context, component. */}}
{{- define "chatacter.selectorLabels" -}}
app.kubernetes.io/name: chatacter
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object. Takes a list: context, component. */}}
{{- define "chatacter.labels" -}}
{{- $context := index . 0 -}}
{{ include "chatacter.selectorLabels" . }}
app.kubernetes.io/version: {{ $context.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: chatacter
app.kubernetes.io/managed-by: {{ $context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of a pod: those of its object, but for what would roll it without need. Takes a list: context, component. */}}
{{- define "chatacter.podLabels" -}}
{{ include "chatacter.selectorLabels" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/part-of: chatacter
{{- end }}

{{/* The host name of a Service inside the cluster. Takes a list: context, Service name. */}}
{{- define "chatacter.host" -}}
{{- $context := index . 0 -}}
{{- printf "%s.%s.svc.%s" (index . 1) $context.Release.Namespace $context.Values.global.clusterDomain -}}
{{- end }}

{{/* Chattr's base URL inside the cluster. */}}
{{- define "chatacter.chattrUrl" -}}
{{- printf "http://%s:8000" (include "chatacter.host" (list . (include "chatacter.name" (list . "chattr")))) -}}
{{- end }}

{{/* The name of a model's InferenceService or Deployment. Takes a list: context, key in inference.models. */}}
{{- define "chatacter.modelName" -}}
{{- include "chatacter.name" . -}}
{{- end }}

{{/* A model's base URL inside the cluster, the same in every serving mode. Takes a list: context, key. */}}
{{- define "chatacter.modelUrl" -}}
{{- $service := printf "%s-predictor" (include "chatacter.modelName" .) -}}
{{- printf "http://%s" (include "chatacter.host" (list (index . 0) $service)) -}}
{{- end }}
