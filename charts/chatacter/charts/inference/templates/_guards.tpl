{{/* What a model cannot be. */}}

{{/* Takes a list: context, model. */}}
{{- define "inference.refuseModel" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- $mode := $model.mode -}}
{{- $ours := hasKey $model "module" -}}
{{- if has $model.key (list "chattr" "dispatcher" "ui" "redis" "redis-cache" "qdrant" "otel-collector" "demand") -}}
{{- fail (printf "inference.models.%s would be named like another part of the release: choose another key." $model.key) -}}
{{- end -}}
{{- if and $ours (not $model.backend) -}}
{{- fail (printf "inference.models.%s has no backend: set inference.models.%s.backend to a plugin of %s, e.g. %s." $model.key $model.key $model.module (ternary "kokoro" "portrait" (eq $model.module "vocalizr"))) -}}
{{- end -}}
{{- if and (hasPrefix "fake" ($model.backend | default "")) (ne $mode "Deployment") -}}
{{- fail (printf "inference.models.%s has the backend fake, which makes test tones and test cards: it is for inference.serving.mode=Deployment alone. Choose a real backend." $model.key) -}}
{{- end -}}
{{- if not (and (dig "limits" "cpu" "" $model.resources) (dig "limits" "memory" "" $model.resources)) -}}
{{- fail (printf "inference.models.%s.resources.limits needs cpu and memory, beside a GPU too: where one is missing, KServe sets 1 CPU or 2 GiB." $model.key) -}}
{{- end -}}
{{- range $name, $requested := $model.resources.requests -}}
{{- $limit := get $model.resources.limits $name -}}
{{- if and $limit (gt (include "inference.thousandths" $requested | float64) (include "inference.thousandths" $limit | float64)) -}}
{{- fail (printf "inference.models.%s.resources requests %v of %s, more than its limit of %v: no pod could start. Lower the request or raise the limit." $model.key $requested $name $limit) -}}
{{- end -}}
{{- end -}}
{{- if and (not $model.serviceAccount.create) (or $model.serviceAccount.annotations $model.serviceAccount.secrets) -}}
{{- fail (printf "inference.models.%s.serviceAccount has annotations or secrets and create=false: set them on the account of yours, or let the chart make one." $model.key) -}}
{{- end -}}
{{- if and $ours (has $model.backend (list "remote" "remote-videos")) -}}
{{- $address := printf "%s_REMOTE_URL" $model.prefix -}}
{{- $names := keys $model.settings -}}
{{- range $model.extraEnv -}}{{- $names = append $names .name -}}{{- end -}}
{{- if not (has $address $names) -}}
{{- fail (printf "inference.models.%s has the backend %s, which needs an address: set inference.models.%s.settings.%s." $model.key $model.backend $model.key $address) -}}
{{- end -}}
{{- end -}}
{{- if and (ne $mode "Deployment") (contains "{{" (toJson (list $model.settings $model.extraEnv $model.args))) -}}
{{- fail (printf "inference.models.%s has two opening braces in settings, extraEnv or args, which KServe would read as a template: write the value without them." $model.key) -}}
{{- end -}}
{{- if not $ours -}}
{{- include "inference.refuseLanguage" . -}}
{{- end -}}
{{- end }}

{{- define "inference.refuseLanguage" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- if eq $model.mode "Deployment" -}}
{{- fail (printf "inference.models.%s is a language model, which runs on KServe's own runtime: set inference.serving.mode=Standard, or point model.url at a server of yours." $model.key) -}}
{{- end -}}
{{- if $model.default -}}
{{- fail (printf "inference.models.%s.default has no meaning for a language model: name the one that answers in model.fromInference." $model.key) -}}
{{- end -}}
{{- if $model.backend -}}
{{- fail (printf "inference.models.%s.backend is for speech and video: a language model has a runtime, inference.models.%s.runtime." $model.key $model.key) -}}
{{- end -}}
{{- if (get $context.Values.models $model.key).settings -}}
{{- fail (printf "inference.models.%s.settings are for speech and video: tell a language model's server what to do by args and extraEnv." $model.key) -}}
{{- end -}}
{{- if and (not $model.storageUri) (not (regexMatch "--model_(id|dir)" (join " " $model.args))) -}}
{{- fail (printf "inference.models.%s has no weights: set storageUri (pvc://, oci://, s3://, gs://, hf://), or args with --model_id=ORGANISATION/MODEL." $model.key) -}}
{{- end -}}
{{- if eq $model.autoscaler "keda" -}}
{{- fail (printf "inference.models.%s.scaling.autoscaler=keda has no number to go by, because Chattr counts no work of language models: set hpa or none." $model.key) -}}
{{- end -}}
{{- end }}

{{/* Takes a list: context, model. */}}
{{- define "inference.refuseWeights" -}}
{{- $context := index . 0 -}}
{{- $model := index . 1 -}}
{{- if and $model.storageUri (eq $model.mode "Deployment") -}}
{{- fail (printf "inference.models.%s.storageUri is fetched by KServe, and inference.serving.mode=Deployment does without: use an image that carries the weights, or mount them with extraVolumes and set inference.serving.mode=Standard for storageUri." $model.key) -}}
{{- end -}}
{{- $license := include "inference.license" $model | fromJson -}}
{{- if and $license (not $model.acceptLicense) -}}
{{- fail (printf "inference.models.%s has the backend %s, whose weights are under %s: read it, and set inference.models.%s.acceptLicense=true if you accept it." $model.key $model.backend $license.text $model.key) -}}
{{- end -}}
{{- end }}

{{/* Takes a list: context, model. */}}
{{- define "inference.refuseScaling" -}}
{{- $model := index . 1 -}}
{{- $mode := $model.mode -}}
{{- with $model.scaling -}}
{{- if and (eq $mode "Knative") (has $model.autoscaler (list "keda" "hpa")) -}}
{{- fail (printf "inference.models.%s would be scaled by %s, which cannot scale what Knative serves: leave inference.serving.autoscaler and the model's scaling.autoscaler empty for Knative's own, or set none for a fixed number of replicas." $model.key $model.autoscaler) -}}
{{- end -}}
{{- if and (eq $mode "Deployment") (eq $model.autoscaler "hpa") -}}
{{- fail (printf "inference.models.%s would be scaled by hpa, which KServe makes, and inference.serving.mode=Deployment does without KServe: set keda or none, or serve in mode Standard." $model.key) -}}
{{- end -}}
{{- if and (ne $model.autoscaler "none") (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "inference.models.%s.scaling.minReplicas is above its maxReplicas: raise the one or lower the other." $model.key) -}}
{{- end -}}
{{- if and .scaleToZero (not (has $model.autoscaler (list "keda" "knative"))) (ne $mode "Ray") -}}
{{- fail (printf "inference.models.%s.scaling.scaleToZero needs someone who sees work that no pod has met yet, and its autoscaler is %s: use keda or Knative, or drop scaleToZero." $model.key $model.autoscaler) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Takes a list: context, model. */}}
{{- define "inference.refuseGpu" -}}
{{- $values := (index . 0).Values -}}
{{- $model := index . 1 -}}
{{- if and $model.gpu.kind (eq (int $model.gpu.count) 0) -}}
{{- fail (printf "inference.models.%s.gpu.kind chooses nodes by their GPU, and gpu.count is 0: set gpu.count, or choose nodes by nodeSelector." $model.key) -}}
{{- end -}}
{{- if and $model.gpu.kind (not $values.serving.gpuNodeLabel) -}}
{{- fail (printf "inference.models.%s.gpu.kind needs inference.serving.gpuNodeLabel, the label by which your nodes tell their GPU." $model.key) -}}
{{- end -}}
{{- $image := get $values.images $model.modality | default dict -}}
{{- if and (gt (int $model.gpu.count) 0) $image.digest (not $image.cudaDigest) (not (or $model.image.repository $model.image.tag $model.image.digest)) -}}
{{- fail (printf "inference.images.%s.digest is that of the image without CUDA, and inference.models.%s has a GPU: set inference.images.%s.cudaDigest too." $model.modality $model.key $model.modality) -}}
{{- end -}}
{{- end }}

{{/* Takes a list: context, model. */}}
{{- define "inference.refuseGrpc" -}}
{{- $model := index . 1 -}}
{{- $policies := (index . 0).Values.global.networkPolicy.enabled -}}
{{- if not (int $model.grpc.port) -}}
{{- if $model.grpc.from -}}
{{- fail (printf "inference.models.%s.grpc.from lets others reach a port that is not open: set inference.models.%s.grpc.port, or drop it." $model.key $model.key) -}}
{{- end -}}
{{- else if not (hasKey $model "module") -}}
{{- fail (printf "inference.models.%s.grpc is for speech and video: a language model's server has ports of its own." $model.key) -}}
{{- else if eq $model.mode "Knative" -}}
{{- fail (printf "inference.models.%s.grpc.port is a second port, and Knative lets a container have one: set inference.serving.mode=Standard, or drop it and ask by REST." $model.key) -}}
{{- else if eq $model.mode "Ray" -}}
{{- fail (printf "inference.models.%s.grpc.port cannot be opened on Ray, whose proxies own the ports of what they serve: drop ray.enabled, or ask by REST." $model.key) -}}
{{- else if lt (int $model.grpc.port) 1024 -}}
{{- fail (printf "inference.models.%s.grpc.port is %d, and below 1024 a process without rights may not listen, nor is 80 free at its Service: choose another." $model.key (int $model.grpc.port)) -}}
{{- else if eq (int $model.grpc.port) (int $model.port) -}}
{{- fail (printf "inference.models.%s.grpc.port is %d, at which it speaks REST: choose another." $model.key (int $model.port)) -}}
{{- else if and $policies (not $model.grpc.from) -}}
{{- fail (printf "inference.models.%s.grpc.port opens a port that its NetworkPolicy lets nobody reach: set inference.models.%s.grpc.from." $model.key $model.key) -}}
{{- end -}}
{{- end }}

{{/* Takes a list: context, model. */}}
{{- define "inference.refuseInKnative" -}}
{{- $context := index . 0 -}}
{{- $knative := $context.Values.serving.knative -}}
{{- $model := index . 1 -}}
{{- if gt (int $model.timeout) (int $knative.maxTimeout) -}}
{{- fail (printf "inference.models.%s.timeout is above %d seconds, at which Knative cuts a request: lower it, or raise max-revision-timeout-seconds in Knative's config-defaults and say so in inference.serving.knative.maxTimeout." $model.key (int $knative.maxTimeout)) -}}
{{- end -}}
{{- $selected := include "inference.nodeSelector" . | fromYaml -}}
{{- $wanted := dict "nodeselector" $selected "tolerations" $model.tolerations "affinity" $model.affinity "priorityclassname" $model.priorityClassName "runtimeclassname" $model.runtimeClassName "persistent-volume-claim" (hasPrefix "pvc://" $model.storageUri) -}}
{{- range $flag, $value := $wanted -}}
{{- if and $value (not (include "inference.allowed" (list $context $flag))) -}}
{{- fail (printf "inference.models.%s needs Knative's flag kubernetes.podspec-%s, which is off unless you switch it on in Knative's config-features: do so and name it in inference.serving.knative.features, or drop the value." $model.key $flag) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Takes a list: context, model. */}}
{{- define "inference.refuseOnRay" -}}
{{- $model := index . 1 -}}
{{- if not (hasKey $model "module") -}}
{{- fail (printf "inference.models.%s is a language model, which no application of ours serves on Ray: set inference.models.%s.ray.enabled=false." $model.key $model.key) -}}
{{- end -}}
{{- if and (eq (int $model.gpu.count) 0) (not $model.image.repository) -}}
{{- fail (printf "inference.models.%s.ray needs Ray in the image, which those for GPUs carry: set inference.models.%s.gpu.count, or image.repository to one of yours." $model.key $model.key) -}}
{{- end -}}
{{- if not (has $model.autoscaler (list "ray" "none")) -}}
{{- fail (printf "inference.models.%s would be scaled by %s, and Ray scales what it serves: leave inference.models.%s.scaling.autoscaler empty, or set none for a fixed number." $model.key $model.autoscaler $model.key) -}}
{{- end -}}
{{- if $model.scaling.scaleToZero -}}
{{- fail (printf "inference.models.%s.scaling.scaleToZero has no one to wake it on Ray: drop it, or drop ray.enabled and let KEDA scale." $model.key) -}}
{{- end -}}
{{- if and $model.storageUri (not (hasPrefix "pvc://" $model.storageUri)) -}}
{{- fail (printf "inference.models.%s.storageUri is fetched by KServe, which has no part in a RayService: set pvc://CLAIM/PATH, or settings.%s_WEIGHTS to a name at the hub." $model.key $model.prefix) -}}
{{- end -}}
{{- $gpus := include "inference.rayGpus" $model | float64 -}}
{{- if and (gt $gpus 1.0) (ne $gpus (floor $gpus)) -}}
{{- fail (printf "inference.models.%s.ray.replicasPerPod leaves each replica %v GPUs, and Ray divides one GPU only: choose replicasPerPod so that each has a part of one, or whole ones." $model.key $gpus) -}}
{{- end -}}
{{- end }}
