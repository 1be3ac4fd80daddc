{{/* A model on Ray Serve, in a RayService of KubeRay's: one head pod without a model, worker pods with it. */}}

{{/* What the service is told beyond what it is told elsewhere. Takes the model. */}}
{{- define "inference.raySettings" -}}
{{ .prefix }}_ENGINE: ray
RAY_REPLICAS: {{ mul .ray.replicasPerPod (include "inference.rayMostPods" . | int) }}
RAY_REPLICA_GPUS: {{ include "inference.rayGpus" . }}
RAY_REPLICA_CPUS: 1
{{- end }}

{{/* Most worker pods; without an autoscaler there are as many as at least. Takes the model. */}}
{{- define "inference.rayMostPods" -}}
{{- ternary .scaling.maxReplicas .scaling.minReplicas (eq .autoscaler "ray") -}}
{{- end }}

{{/* The share of a pod's GPUs that one replica has, rounded down: shares that add up to more would not fit. */}}
{{- define "inference.rayGpus" -}}
{{- $share := divf .gpu.count .ray.replicasPerPod -}}
{{- divf (floor (mulf $share 10000)) 10000 -}}
{{- end }}

{{/* Whether Ray asks Kubernetes for more pods and fewer. Takes the model. */}}
{{- define "inference.rayScales" -}}
{{- if gt (include "inference.rayMostPods" . | int) (int .scaling.minReplicas) }}true{{ end -}}
{{- end }}

{{- define "inference.metricsPort" -}}
{{- ternary 8080 .port (eq .mode "Ray") -}}
{{- end }}

{{/* What Ray Serve runs: the service's own application, as `serve deploy` takes it. Takes the model. */}}
{{- define "inference.serveConfig" -}}
{{- $scales := include "inference.rayScales" . -}}
proxy_location: EveryNode
http_options:
  host: 0.0.0.0
  port: {{ .port }}
applications:
  - name: {{ .module }}
    route_prefix: /
    import_path: {{ .module }}.rayservice:application
    deployments:
      - name: door
        num_replicas: 1
        ray_actor_options:
          num_cpus: 1
      - name: replica
        {{- if $scales }}
        autoscaling_config:
          min_replicas: {{ mul .ray.replicasPerPod .scaling.minReplicas }}
          max_replicas: {{ mul .ray.replicasPerPod .scaling.maxReplicas }}
          target_ongoing_requests: {{ include "inference.target" . }}
          upscale_delay_s: 10
          downscale_delay_s: {{ include "inference.scaleDownSeconds" . }}
        {{- else }}
        num_replicas: {{ mul .ray.replicasPerPod .scaling.minReplicas }}
        {{- end }}
        max_replicas_per_node: {{ .ray.replicasPerPod }}
        ray_actor_options:
          num_cpus: 1
          num_gpus: {{ include "inference.rayGpus" . }}
{{- end }}

{{/* The container of a node of Ray's, which KubeRay gives its command. Takes a list: context, model, whether it is the head. */}}
{{- define "inference.rayContainer" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- $head := index . 2 -}}
name: {{ ternary "ray-head" "ray-worker" $head }}
image: {{ include "inference.image" . }}
imagePullPolicy: {{ include "inference.pullPolicy" . }}
env:
  {{- $env := include "inference.env" . | fromYamlArray }}
  {{- $env = append $env (dict "name" "RAY_USAGE_STATS_ENABLED" "value" "0") }}
  {{- /* Ray Serve tries a replica three times by itself, and then never again. */}}
  {{- $env = append $env (dict "name" "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT" "value" "1000000") }}
  {{- /* So long a node that must go takes nothing new and lets what runs come to its end. */}}
  {{- $env = append $env (dict "name" "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S" "value" (toString $model.grace)) }}
  {{- include "chatacter.refuseTwice" (dict "component" (printf "inference.models.%s" $model.key) "env" $env "values" (dict "settings" dict "extraEnv" $model.extraEnv)) }}
  {{- toYaml (concat $env $model.extraEnv) | nindent 2 }}
ports:
  - name: serve
    containerPort: {{ $model.port }}
    protocol: TCP
  - name: metrics
    containerPort: {{ include "inference.metricsPort" $model }}
    protocol: TCP
  - name: agent
    containerPort: 52365
    protocol: TCP
  {{- if $head }}
  - name: gcs-server
    containerPort: 6379
    protocol: TCP
  - name: dashboard
    containerPort: 8265
    protocol: TCP
  {{- end }}
{{- /* KubeRay's own probes of the older kind want wget. A worker is ready when the model at its port is. */}}
readinessProbe:
  httpGet:
    path: {{ ternary "/api/healthz" (printf "/v2/models/%s/ready" $model.servedName) $head }}
    port: {{ ternary 52365 $model.port $head }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
livenessProbe:
  httpGet:
    path: /api/healthz
    port: 52365
  initialDelaySeconds: 30
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 12
{{- if not $head }}
{{- include "chatacter.preStop" $model }}
{{- end }}
securityContext:
  {{- include "chatacter.containerSecurityContext" $context | nindent 2 }}
resources:
  {{- ternary (toYaml $model.ray.head.resources) (include "inference.resources" $model) $head | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with include "inference.rayWeights" $model | fromYaml }}
  - name: weights
    mountPath: /mnt/models
    {{- with .subPath }}
    subPath: {{ . | quote }}
    {{- end }}
    readOnly: true
  {{- end }}
  {{- with $model.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The claim of `pvc://CLAIM/PATH` and the path in it; nothing without one. Takes the model. */}}
{{- define "inference.rayWeights" -}}
{{- if hasPrefix "pvc://" .storageUri -}}
{{- $parts := splitn "/" 2 (trimPrefix "pvc://" .storageUri) -}}
claimName: {{ $parts._0 | quote }}
subPath: {{ $parts._1 | default "" | trimSuffix "/" | quote }}
{{- end -}}
{{- end }}

{{/* A pod of Ray's. Takes a list: context, model, whether it is the head. */}}
{{- define "inference.rayPod" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- $head := index . 2 -}}
metadata:
  labels:
    {{- include "inference.podLabels" . | nindent 4 }}
    {{- include "inference.selector" $model | nindent 4 }}
    {{- with $model.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "inference.podAnnotations" . | nindent 4 }}
spec:
  {{- $placed := deepCopy $model }}
  {{- if $head }}
  {{- range $field, $value := dict "nodeSelector" $model.ray.head.nodeSelector "tolerations" $model.ray.head.tolerations "affinity" dict "topologySpread" false "runtimeClassName" "" "gpu" (dict "kind" "") }}
  {{- $placed = set $placed $field $value }}
  {{- end }}
  {{- end }}
  {{- $pod := include "inference.pod" (list $context $placed) | fromYaml }}
  {{- /* Ray's autoscaler, beside the head, asks Kubernetes for pods. */}}
  {{- $pod = set $pod "automountServiceAccountToken" (and $head (include "inference.rayScales" $model | empty | not)) }}
  {{- toYaml $pod | nindent 2 }}
  containers:
    - {{- include "inference.rayContainer" . | nindent 6 | trimPrefix "\n     " }}
  volumes:
    {{- include "inference.volumes" $model | nindent 4 }}
    {{- with include "inference.rayWeights" $model | fromYaml }}
    - name: weights
      persistentVolumeClaim:
        claimName: {{ .claimName | quote }}
        readOnly: true
    {{- end }}
{{- end }}

{{/* The nodes of one cluster of Ray's, which meet at ports of all numbers. Takes the model. */}}
{{- define "inference.rayNodes" -}}
- podSelector:
    matchLabels:
      {{- include "inference.selector" . | nindent 6 }}
{{- end }}

{{/* Who else reaches the head, and where it goes. Takes a list: context, model. */}}
{{- define "inference.rayHeadPolicy" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $model.name }}-head
  labels:
    {{- include "inference.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "inference.selector" $model | nindent 6 }}
      ray.io/node-type: head
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        {{- toYaml $context.Values.global.networkPolicy.kuberayFrom | nindent 8 }}
      ports:
        {{- range list 8265 $model.port }}
        - port: {{ . }}
          protocol: TCP
        {{- end }}
  {{- if include "inference.rayScales" $model }}
  egress:
    {{- /* Kubernetes itself, whose address nobody knows here. */}}
    - ports:
        {{- range list 443 6443 }}
        - port: {{ . }}
          protocol: TCP
        {{- end }}
  {{- else }}
  egress: []
  {{- end }}
{{- end }}
