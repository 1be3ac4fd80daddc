{{/* The container of a speech or video predictor. */}}

{{/* Takes a list: context, model. */}}
{{- define "inference.container" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
name: kserve-container
image: {{ include "inference.image" . }}
imagePullPolicy: {{ include "inference.pullPolicy" . }}
command: [python, -m, {{ $model.module }}]
env:
  {{- $env := include "inference.env" . | fromYamlArray }}
  {{- include "chatacter.refuseTwice" (dict "component" (printf "inference.models.%s" $model.key) "env" $env "values" (dict "settings" dict "extraEnv" $model.extraEnv)) }}
  {{- toYaml (concat $env $model.extraEnv) | nindent 2 }}
ports:
  - name: http1
    containerPort: {{ $model.port }}
    protocol: TCP
  {{- /* The second one; KServe gives the Service's port of this name the protocol kubernetes.io/h2c. */}}
  {{- with int $model.grpc.port }}
  - name: grpc
    containerPort: {{ . }}
    protocol: TCP
  {{- end }}
{{ include "inference.probes" $model }}
{{- if ne $context.Values.serving.mode "Knative" }}
{{- include "chatacter.preStop" $model }}
{{- end }}
securityContext:
  {{- include "inference.containerSecurityContext" $context | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with $model.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "inference.env" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- /* Knative sets PORT itself, to the container's port, and refuses whoever else does. */ -}}
{{- $port := ternary 0 $model.port (eq $context.Values.serving.mode "Knative") -}}
{{- include "chatacter.processEnv" (list $context $port (include "inference.allowed" (list $context "fieldref"))) }}
- name: REQUIRE_API_KEY
  value: "true"
- name: CHATACTER_HOME
  value: {{ ternary "/mnt" "/opt/chatacter" (and (not (empty $model.storageUri)) (not (include "inference.weightsNamed" $model))) }}
- name: HF_HOME
  value: /tmp/huggingface
- name: SHUTDOWN_GRACE
  value: {{ $model.grace | quote }}
{{- with int $model.grpc.port }}
- name: GRPC_PORT
  value: {{ . | quote }}
{{- end }}
- name: {{ $model.prefix }}_MODEL
  value: {{ $model.backend | quote }}
- name: {{ $model.prefix }}_SERVED_NAME
  value: {{ $model.servedName | quote }}
- name: {{ $model.prefix }}_CONCURRENCY
  value: {{ $model.concurrency | quote }}
- name: {{ $model.prefix }}_QUEUE
  value: {{ $model.queue | quote }}
{{- $share := ternary (int $model.ray.replicasPerPod) 1 (eq $model.mode "Ray") }}
{{- $threads := max 1 (div (include "inference.processors" $model.resources.limits.cpu | int) $share) }}
{{- $unless := dict "PRELOAD_MODELS" true "REQUEST_TIMEOUT" $model.timeout (printf "%s_THREADS" $model.prefix) $threads }}
{{- if and $model.storageUri (include "inference.weightsNamed" $model) }}
{{- $unless = set $unless (printf "%s_WEIGHTS" $model.prefix) "/mnt/models" }}
{{- end }}
{{- $license := include "inference.license" $model | fromJson }}
{{- if and $license $model.acceptLicense }}
{{- $unless = set $unless "ACCEPT_MODEL_LICENSES" $license.id }}
{{- end }}
{{- if eq $model.mode "Ray" }}
{{- $unless = merge (include "inference.raySettings" $model | fromYaml) $unless }}
{{- end }}
{{- include "chatacter.settingsEnv" (include "chatacter.laidOver" (list $unless $model.settings) | fromJson) }}
{{- end }}

{{/* A model loads for minutes; whoever stops answering afterwards is restarted, whoever is busy is not. */}}
{{- define "inference.probes" -}}
startupProbe:
  httpGet:
    path: /v2/models/{{ .servedName }}/ready
    port: {{ .port }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ div (add (int .startupSeconds) 4) 5 }}
readinessProbe:
  httpGet:
    path: /v2/models/{{ .servedName }}/ready
    port: {{ .port }}
  periodSeconds: 5
  timeoutSeconds: 5
  successThreshold: 1
  failureThreshold: 3
livenessProbe:
  httpGet:
    path: {{ ternary "/v2/health/live" "/livez" (eq .modality "language") | quote }}
    port: {{ .port }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* Where the pod's own security context is not allowed, the container says who it runs as. Takes the context. */}}
{{- define "inference.containerSecurityContext" -}}
{{ include "chatacter.containerSecurityContext" . }}
{{- if not (include "inference.allowed" (list . "securitycontext")) }}
runAsUser: 10001
runAsGroup: 10001
{{- end }}
{{- end }}

{{- define "inference.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .tmpSize | quote }}
{{- with .extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the pod says beside its container. Takes a list: context, model. */}}
{{- define "inference.pod" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
serviceAccountName: {{ include "inference.serviceAccountName" $model | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- if ne $context.Values.serving.mode "Knative" }}
terminationGracePeriodSeconds: {{ add (int $model.preStopSeconds) (int $model.grace) 5 }}
{{- end }}
{{- if include "inference.allowed" (list $context "securitycontext") }}
securityContext:
  {{- include (ternary "inference.languageSecurityContext" "chatacter.podSecurityContext" (eq $model.modality "language")) $context | nindent 2 }}
{{- end }}
{{- include "chatacter.imagePullSecrets" $context }}
{{- include "chatacter.placement" (set (deepCopy $model) "nodeSelector" (include "inference.nodeSelector" . | fromYaml)) }}
{{- with $model.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- if and $model.topologySpread (include "inference.allowed" (list $context "topologyspreadconstraints")) }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "inference.selector" $model | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "inference.nodeSelector" -}}
{{- $model := index . 1 -}}
{{- $kind := ternary (dict (index . 0).Values.serving.gpuNodeLabel $model.gpu.kind) dict (not (empty $model.gpu.kind)) -}}
{{- toYaml (merge (dict) $model.nodeSelector $kind) -}}
{{- end }}

{{/* There is no spare GPU to start a second pod on. Takes the model. */}}
{{- define "inference.strategy" -}}
type: RollingUpdate
rollingUpdate:
  maxSurge: {{ ternary 0 1 (gt (int .gpu.count) 0) }}
  maxUnavailable: {{ ternary 1 0 (gt (int .gpu.count) 0) }}
{{- end }}
