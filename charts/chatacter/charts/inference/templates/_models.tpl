{{/* The models as this part serves them. */}}

{{/* Every enabled model by its key, as JSON, with what follows from its values. Takes the context. */}}
{{- define "inference.models" -}}
{{- $serving := .Values.serving -}}
{{- $models := include "chatacter.models" .Values | fromJson -}}
{{- range $key, $model := $models -}}
{{- $ours := get (include "inference.servers" . | fromYaml) $model.modality -}}
{{- $_ := set $model "key" $key -}}
{{- $_ := set $model "name" (include "chatacter.modelName" (list $ $key)) -}}
{{- $_ := set $model "mode" (include "inference.mode" (list $serving $model)) -}}
{{- $_ := set $model "autoscaler" (include "inference.autoscaler" (list $serving $model)) -}}
{{- $_ := set $model "grace" (include "inference.grace" (list $serving $model) | int) -}}
{{- range $field, $value := $ours -}}
{{- $_ := set $model $field $value -}}
{{- end -}}
{{- end -}}
{{- toJson $models -}}
{{- end }}

{{/* What each modality is served by. */}}
{{- define "inference.servers" -}}
speech: {module: vocalizr, prefix: VOCALIZR, port: 8001}
video: {module: visualizr, prefix: VISUALIZR, port: 8002}
language: {port: 8080}
{{- end }}

{{/* How a model is served: Standard, Knative, Deployment, or Ray. Takes a list: serving, model. */}}
{{- define "inference.mode" -}}
{{- ternary "Ray" (index . 0).mode (index . 1).ray.enabled -}}
{{- end }}

{{/*
Who decides how many replicas run: keda, hpa, knative, ray or none. Chattr counts no work of language models, so that KEDA
has no number for them. Takes a list: serving, model.
*/}}
{{- define "inference.autoscaler" -}}
{{- $serving := index . 0 -}}
{{- $mode := include "inference.mode" . -}}
{{- $own := get (dict "Standard" "keda" "Knative" "knative" "Deployment" "none" "Ray" "ray") $mode -}}
{{- $said := (index . 1).scaling.autoscaler | default (ternary "" $serving.autoscaler (eq $mode "Ray")) -}}
{{- if and (eq (index . 1).modality "language") (not (index . 1).scaling.autoscaler) (eq $own "keda") -}}
{{- ternary "hpa" "none" (eq $said "hpa") -}}
{{- else -}}
{{- $said | default $own -}}
{{- end -}}
{{- end }}

{{/* Seconds that running work gets after SIGTERM: as long as the longest piece may take. Takes a list: serving, model. */}}
{{- define "inference.grace" -}}
{{- $timeout := int (index . 1).timeout -}}
{{- /* Knative kills a pod when the timeout has passed, the pause of its own proxy included. */ -}}
{{- if eq (include "inference.mode" .) "Knative" -}}
{{- max 1 (sub $timeout 30) -}}
{{- else -}}
{{- $timeout -}}
{{- end -}}
{{- end }}

{{/*
The licence of a backend's weights where it has to be accepted: its id, as ACCEPT_MODEL_LICENSES names it, and what it
is called. Takes the model.
*/}}
{{- define "inference.license" -}}
{{- $licenses := dict
  "xtts" (dict "id" "CPML" "text" "Coqui's public model licence (CPML), which forbids commercial use")
  "svd" (dict "id" "stable-video-diffusion-community" "text" "Stability AI's community licence, which is free of charge below a yearly revenue") -}}
{{- toJson (get $licenses (.backend | default "") | default dict) -}}
{{- end }}

{{/*
Whether a backend takes a folder of weights by a setting. Only these leave what else lies in the image, e.g. the models
that listen to who clones a voice, where it is; the others find all of theirs in what KServe fetches. Takes the model.
*/}}
{{- define "inference.weightsNamed" -}}
{{- if has .backend (list "animatediff" "bark" "coqui" "svd" "xtts") }}true{{ end -}}
{{- end }}

{{/* Whether the pod may use a field that Knative refuses unless a flag is on. Takes a list: context, flag. */}}
{{- define "inference.allowed" -}}
{{- $serving := (index . 0).Values.serving -}}
{{- if or (ne $serving.mode "Knative") (has (printf "kubernetes.podspec-%s" (index . 1)) $serving.knative.features) }}true{{ end -}}
{{- end }}

{{- define "inference.labels" -}}
{{ include "chatacter.labels" (list (index . 0) "predictor") }}
chatacter.ai/model: {{ (index . 1).key | quote }}
{{- end }}

{{/*
Labels of a model's pods, and of its InferenceService, whose labels KServe hands on to them: another version of the
chart alone is no reason to load a model anew. Takes a list: context, model.
*/}}
{{- define "inference.podLabels" -}}
{{ include "chatacter.podLabels" (list (index . 0) "predictor") }}
chatacter.ai/model: {{ (index . 1).key | quote }}
{{- end }}

{{/* What a model's pods are selected by. Takes the model. */}}
{{- define "inference.selector" -}}
serving.kserve.io/inferenceservice: {{ .name }}
{{- end }}

{{/*
The label by which a predictor's Service chooses its pods, and its value: KServe's own Service goes by one that KServe
sets beside the model's name. They take `serving`, and the value a list: serving, the model's name.
*/}}
{{- define "inference.chosenBy" -}}
{{- ternary "app" "serving.kserve.io/inferenceservice" (eq .mode "Standard") -}}
{{- end }}

{{- define "inference.chosenAs" -}}
{{- ternary (printf "isvc.%s-predictor" (index . 1)) (index . 1) (eq (index . 0).mode "Standard") -}}
{{- end }}

{{- define "inference.serviceAccountName" -}}
{{- .serviceAccount.name | default (ternary .name "default" .serviceAccount.create) -}}
{{- end }}

{{/* A model's image: its own, else that of its modality, in the CUDA variant where it has a GPU. */}}
{{- define "inference.image" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- $image := get $context.Values.images $model.modality | default dict | deepCopy -}}
{{- if gt (int $model.gpu.count) 0 -}}
{{- $image = set $image "tag" (printf "%s-cuda" ($image.tag | default $context.Chart.AppVersion)) -}}
{{- $image = set $image "digest" $image.cudaDigest -}}
{{- end -}}
{{- if $model.image.repository -}}
{{- $image = $model.image -}}
{{- else if $model.image.digest -}}
{{- $image = set $image "digest" $model.image.digest -}}
{{- else if $model.image.tag -}}
{{- $image = merge (dict "tag" $model.image.tag "digest" "") (omit $image "tag" "digest") -}}
{{- end -}}
{{- include "chatacter.image" (list $context $image) -}}
{{- end }}

{{- define "inference.pullPolicy" -}}
{{- $image := get (index . 0).Values.images (index . 1).modality | default dict -}}
{{- (index . 1).image.pullPolicy | default $image.pullPolicy | default "IfNotPresent" -}}
{{- end }}

{{/* A model's resources, its GPUs among the limits. Takes the model. */}}
{{- define "inference.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if gt (int .gpu.count) 0 -}}
{{- $gpus := dict .gpu.resource (toString .gpu.count) -}}
{{- range $part := list "requests" "limits" -}}
{{- $resources = set $resources $part (merge (dict) $gpus (get $resources $part)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end }}

{{/* A quantity of Kubernetes in thousandths of its unit, e.g. 500m or 2Gi. */}}
{{- define "inference.thousandths" -}}
{{- $quantity := toString . -}}
{{- $number := regexFind "^[0-9.]+" $quantity -}}
{{- $factors := dict "m" 1 "" 1e3 "k" 1e6 "M" 1e9 "G" 1e12 "T" 1e15 "P" 1e18 "E" 1e21 "Ki" 1024e3 "Mi" 1048576e3 "Gi" 1073741824e3 "Ti" 1099511627776e3 "Pi" 1125899906842624e3 "Ei" 1152921504606846976e3 -}}
{{- mulf (float64 $number) (get $factors (trimPrefix $number $quantity)) -}}
{{- end }}

{{/* Whole processors of a CPU quantity, at least one. */}}
{{- define "inference.processors" -}}
{{- max 1 (min 64 (divf (include "inference.thousandths" . | float64) 1000 | floor | int)) -}}
{{- end }}
