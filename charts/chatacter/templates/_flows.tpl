{{/* Flows between the parts, as rules of NetworkPolicies. A policy speaks of pods and their ports, never of Services. */}}

{{/* The parts that run the Chattr image, as JSON. */}}
{{- define "chatacter.components" -}}
{{- $ui := ternary "ui" "" .Values.ui.enabled -}}
{{- $dispatcher := ternary "" "dispatcher" (include "chatacter.dispatcherRuns" . | empty) -}}
{{- compact (list "chattr" $dispatcher $ui) | toJson -}}
{{- end }}

{{/* Whether KEDA scales a predictor, and so asks Chattr for the demand. */}}
{{- define "chatacter.kedaScales" -}}
{{- range $key, $model := include "chatacter.models" .Values.inference | fromJson -}}
{{- if eq (include "inference.autoscaler" (list $.Values.inference.serving $model)) "keda" -}}
true
{{- end -}}
{{- end -}}
{{- end }}

{{/* The head of a policy of a part's own. Takes a list: context, component. */}}
{{- define "chatacter.policyHead" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "chatacter.name" . }}
  labels:
    {{- include "chatacter.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "chatacter.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end }}

{{/* Names are looked up. */}}
{{- define "chatacter.egressToDns" -}}
- to:
    {{- toYaml .Values.global.networkPolicy.dnsTo | nindent 4 }}
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end }}

{{/* Towards a part of the release. Takes a list: context, component, port. */}}
{{- define "chatacter.egressTo" -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "chatacter.selectorLabels" . | nindent 10 }}
  ports:
    - port: {{ index . 2 }}
      protocol: TCP
{{- end }}

{{/*
Towards a URL that is not this release's. Its host tells a namespace (`name.namespace.svc`), this namespace (a name
without dots) or an address; else it is one of the given peers, and with none of them anywhere. Takes a list: context,
URL, peers, port where the URL has none.
*/}}
{{- define "chatacter.egressToUrl" -}}
{{- $parsed := urlParse (index . 1) -}}
{{- $host := $parsed.hostname -}}
{{- $schemes := dict "http" 80 "https" 443 "redis" 6379 "rediss" 6379 -}}
{{- $default := index . 3 | default (get $schemes $parsed.scheme) -}}
{{- $port := regexFind ":[0-9]+$" $parsed.host | trimPrefix ":" | default $default -}}
{{- $peers := index . 2 -}}
{{- $parts := splitList "." $host -}}
{{- $inside := false -}}
{{- if regexMatch "^[0-9.]+$" $host -}}
{{- $peers = list (dict "ipBlock" (dict "cidr" (printf "%s/32" $host))) -}}
{{- else if contains ":" $host -}}
{{- $peers = list (dict "ipBlock" (dict "cidr" (printf "%s/128" $host))) -}}
{{- else if eq (len $parts) 1 -}}
{{- $inside = true -}}
{{- $peers = list (dict "podSelector" dict) -}}
{{- else if and (gt (len $parts) 2) (eq (index $parts 2) "svc") -}}
{{- $inside = true -}}
{{- $namespace := dict "kubernetes.io/metadata.name" (index $parts 1) -}}
{{- $peers = list (dict "namespaceSelector" (dict "matchLabels" $namespace)) -}}
{{- end -}}
{{- $rule := dict -}}
{{- if $peers }}{{ $rule = set $rule "to" $peers }}{{ end -}}
{{- if not $inside }}{{ $rule = set $rule "ports" (list (dict "port" (int $port) "protocol" "TCP")) }}{{ end -}}
{{- toYaml (list $rule) -}}
{{- end }}

{{/* Towards the collector: the release's own, or one outside. */}}
{{- define "chatacter.egressToCollector" -}}
{{- with .Values.global.telemetry -}}
{{- if and .enabled .endpoint -}}
{{- include "chatacter.egressToUrl" (list $ .endpoint $.Values.global.networkPolicy.externalTo 0) -}}
{{- else if .enabled -}}
{{- include "chatacter.egressTo" (list $ "otel-collector" 4318) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Towards several URLs that are not this release's, each way once. Takes a list: context, URLs, default port. */}}
{{- define "chatacter.egressToUrls" -}}
{{- $context := index . 0 -}}
{{- $port := index . 2 -}}
{{- $rules := list -}}
{{- range compact (index . 1) -}}
{{- $peers := $context.Values.global.networkPolicy.externalTo -}}
{{- $rules = append $rules (include "chatacter.egressToUrl" (list $context . $peers $port)) -}}
{{- end -}}
{{- join "\n" (uniq $rules) -}}
{{- end }}

{{/* Towards the Redis of records and jobs, and the cache. */}}
{{- define "chatacter.egressToRedis" -}}
{{- if .Values.redis.enabled -}}
{{- include "chatacter.egressTo" (list . "redis" 6379) }}
{{- if .Values.redis.cache.enabled }}
{{ include "chatacter.egressTo" (list . "redis-cache" 6379) }}
{{- end }}
{{- else -}}
{{- include "chatacter.egressToUrls" (list . (list .Values.externalRedis.url .Values.externalRedis.cacheUrl) 6379) -}}
{{- end -}}
{{- end }}

{{- define "chatacter.egressToQdrant" -}}
{{- if .Values.qdrant.enabled -}}
{{- include "chatacter.egressTo" (list . "qdrant" 6333) }}
{{- else if .Values.longTermMemory.enabled -}}
{{- include "chatacter.egressToUrls" (list . (list .Values.externalQdrant.url) 6333) }}
{{- end -}}
{{- end }}

{{/* Towards the language model of a provider. */}}
{{- define "chatacter.egressToProvider" -}}
{{- if .Values.model.url -}}
{{- include "chatacter.egressToUrl" (list . .Values.model.url .Values.global.networkPolicy.egressTo 0) -}}
{{- end -}}
{{- end }}

{{/* Towards an endpoint of embeddings; the packaged model needs no way. */}}
{{- define "chatacter.egressToEmbeddings" -}}
{{- with .Values.chattr.settings.EMBEDDINGS__URL -}}
{{- include "chatacter.egressToUrl" (list $ . $.Values.global.networkPolicy.egressTo 0) -}}
{{- end -}}
{{- end }}

{{/* Towards the store of media, when it is not a volume. */}}
{{- define "chatacter.egressToAssets" -}}
{{- if .Values.assets.url -}}
- to:
    {{- toYaml .Values.global.networkPolicy.egressTo | nindent 4 }}
  ports:
    {{- range .Values.global.networkPolicy.egressPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end -}}
{{- end }}

{{/*
Towards this release's predictors of some modalities, chosen by the label by which their Services choose them: a network
that judges before a Service's address becomes a pod's (the VPC CNI of EKS) knows a Service by its selector alone. Takes
a list: context, modalities.
*/}}
{{- define "chatacter.egressToPredictors" -}}
{{- $context := index . 0 -}}
{{- $names := dict -}}
{{- $onRay := list -}}
{{- range $key, $model := include "chatacter.models" $context.Values.inference | fromJson -}}
{{- if not (has $model.modality (index $ 1)) -}}
{{- else if $model.ray.enabled -}}
{{- $onRay = append $onRay $model.modality -}}
{{- else -}}
{{- $name := include "inference.chosenAs" (list $context.Values.inference.serving (include "chatacter.modelName" (list $context $key))) -}}
{{- $names = set $names $model.modality (append (get $names $model.modality | default list) $name) -}}
{{- end -}}
{{- end -}}
{{- if and $names (include "chatacter.modelsBehindKnative" $context.Values.inference) }}
- to:
    {{- toYaml $context.Values.global.networkPolicy.knativeTo | nindent 4 }}
  ports:
    {{- range list 80 8081 }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- else }}
{{- range $modality, $among := $names }}
- to:
    - podSelector:
        matchExpressions:
          - key: {{ include "inference.chosenBy" $context.Values.inference.serving }}
            operator: In
            values: {{ toJson $among }}
  ports:
    - port: {{ get (get (include "inference.servers" $context | fromYaml) $modality) "port" }}
      protocol: TCP
{{- end }}
{{- end }}
{{- range $modality := uniq $onRay }}
{{- /* KubeRay's Service chooses by this label and by a cluster's name that nobody knows before. */}}
- to:
    - podSelector:
        matchLabels:
          ray.io/serve: "true"
  ports:
    - port: {{ get (get (include "inference.servers" $context | fromYaml) $modality) "port" }}
      protocol: TCP
{{- end }}
{{- end }}

{{/* Towards predictors that are not this release's. */}}
{{- define "chatacter.egressToExternalPredictors" -}}
{{- $urls := list -}}
{{- range list .Values.externalVocalizr .Values.externalVisualizr -}}
{{- $urls = concat $urls (list .url) (values .urls | sortAlpha) -}}
{{- end -}}
{{- include "chatacter.egressToUrls" (list . $urls 0) -}}
{{- end }}

{{/* Rules of which each may be nothing, as one list. */}}
{{- define "chatacter.rules" -}}
{{- $rules := list -}}
{{- range . -}}
{{- $rules = append $rules (trim .) -}}
{{- end -}}
{{- join "\n" (compact $rules) -}}
{{- end }}

{{/* Prometheus reads the metrics. Takes a list: context, port. */}}
{{- define "chatacter.ingressFromMonitoring" -}}
{{- with (index . 0).Values.global -}}
{{- if .monitoring.enabled -}}
- from:
    {{- toYaml .networkPolicy.monitoringFrom | nindent 4 }}
  ports:
    - port: {{ index $ 1 }}
      protocol: TCP
{{- end -}}
{{- end -}}
{{- end }}

{{/* Clients reach a Service; one that leads out of the cluster is reached from anywhere. Takes a list: context, type. */}}
{{- define "chatacter.ingressFromClients" -}}
- from:
    {{- toYaml (index . 0).Values.global.networkPolicy.ingressFrom | nindent 4 }}
    {{- if ne (index . 1) "ClusterIP" }}
    - ipBlock:
        cidr: 0.0.0.0/0
    - ipBlock:
        cidr: ::/0
    {{- end }}
  ports:
    - port: 8000
      protocol: TCP
{{- end }}
