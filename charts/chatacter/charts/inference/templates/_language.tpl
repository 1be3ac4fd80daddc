{{/* A language model on KServe's own runtime for Hugging Face and vLLM, which brings the rest of the container. */}}

{{/* Takes a list: context, model. */}}
{{- define "inference.language" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- if $model.image.repository -}}
image: {{ include "chatacter.image" (list $context $model.image) }}
imagePullPolicy: {{ include "inference.pullPolicy" . }}
{{ end -}}
args:
  - --model_name={{ $model.servedName }}
  {{- with $model.args }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  - name: HOME
    value: /tmp
  {{- /* Libraries ask who they are, and an id without a name in the image has no answer. */}}
  - name: USER
    value: chatacter
  {{- if $model.storageUri }}
  - name: HF_HUB_OFFLINE
    value: "1"
  {{- end }}
  {{- with $model.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - name: http1
    containerPort: {{ $model.port }}
    protocol: TCP
{{ include "inference.probes" $model }}
{{- if ne $context.Values.serving.mode "Knative" }}
{{- include "chatacter.preStop" $model }}
{{- end }}
securityContext:
  {{- include "chatacter.containerSecurityContext" $context | nindent 2 }}
  {{- if not (include "inference.allowed" (list $context "securitycontext")) }}
  runAsUser: 1000
  runAsGroup: 1000
  {{- end }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with $model.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The user of KServe's image. */}}
{{- define "inference.languageSecurityContext" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}
