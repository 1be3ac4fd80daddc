{{/* How many replicas run, in KServe's words. */}}

{{/* Takes the model. */}}
{{- define "inference.scalerAnnotations" -}}
{{- if eq .autoscaler "knative" -}}
autoscaling.knative.dev/target-utilization-percentage: "100"
autoscaling.knative.dev/scale-down-delay: {{ include "inference.scaleDownSeconds" . }}s
{{- if .scaling.scaleToZero }}
autoscaling.knative.dev/scale-to-zero-pod-retention-period: {{ .scaling.cooldownSeconds }}s
{{- end }}
{{- else -}}
serving.kserve.io/autoscalerClass: {{ get (dict "keda" "external" "hpa" "hpa" "none" "none") .autoscaler }}
{{- end -}}
{{- end }}

{{- define "inference.scaling" -}}
{{- $fixed := eq .autoscaler "none" -}}
minReplicas: {{ ternary 0 .scaling.minReplicas (and .scaling.scaleToZero (eq .autoscaler "knative")) }}
maxReplicas: {{ ternary .scaling.minReplicas .scaling.maxReplicas $fixed }}
{{- if eq .autoscaler "knative" }}
scaleMetric: concurrency
scaleTarget: {{ include "inference.target" . }}
containerConcurrency: {{ min 1000 (add (int .concurrency) (int .queue)) }}
{{- else if eq .autoscaler "hpa" }}
{{- /* KServe takes no behaviour for its HPA. */}}
scaleMetric: cpu
scaleTarget: {{ .scaling.targetCPUUtilizationPercentage }}
{{- end }}
{{- end }}

{{/* More of them at once; fewer one by one, and late: an autoscaler does not know which replica is busy. */}}
{{- define "inference.scalingBehavior" -}}
scaleDown:
  stabilizationWindowSeconds: {{ include "inference.scaleDownSeconds" . }}
  policies:
    - type: Pods
      value: 1
      periodSeconds: 60
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - type: Pods
      value: 2
      periodSeconds: 30
{{- end }}

{{/* Work that one replica should have: what it does at once, unless the model says otherwise. */}}
{{- define "inference.target" -}}
{{- .scaling.target | default .concurrency -}}
{{- end }}

{{/* Seconds of less work before a replica goes: as long as the longest piece takes, unless the model says otherwise. */}}
{{- define "inference.scaleDownSeconds" -}}
{{- kindIs "invalid" .scaling.scaleDownSeconds | ternary .timeout .scaling.scaleDownSeconds | int | min 3600 -}}
{{- end }}

{{/*
How many pods a drain leaves, in a PodDisruptionBudget's words; nothing where there is none. Pods of Ray's belong to a
RayCluster, which has no scale: Kubernetes refuses every eviction there but where a number says how many stay. Takes the model.
*/}}
{{- define "inference.disruption" -}}
{{- $budget := .podDisruptionBudget -}}
{{- if and $budget.enabled (eq .mode "Ray") -}}
{{- $least := int .scaling.minReplicas -}}
{{- $said := toString $budget.maxUnavailable -}}
{{- $percent := div (add (mul $least (trimSuffix "%" $said | int)) 99) 100 -}}
{{- $kept := sub $least (ternary $percent (int $said) (hasSuffix "%" $said)) -}}
{{- if gt $kept 0 -}}
minAvailable: {{ $kept }}
{{- end -}}
{{- else if $budget.enabled -}}
maxUnavailable: {{ $budget.maxUnavailable }}
{{- end -}}
{{- end }}

{{/* A change of a secret that this chart makes must reach the pods, which read it only at their start. */}}
{{- define "inference.podAnnotations" -}}
{{- $token := (index . 0).Values.global.serviceToken -}}
checksum/service-token: {{ include "chatacter.fingerprint" $token | sha256sum }}
{{- with (index . 1).podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}
