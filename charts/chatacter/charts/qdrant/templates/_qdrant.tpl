{{- define "chatacter.qdrant.headless" -}}
{{- include "chatacter.name" (list . "qdrant-headless") -}}
{{- end }}

{{/* Where a node is reached by the others. Takes a list: context, pod's name. */}}
{{- define "chatacter.qdrant.nodeUrl" -}}
{{- $context := index . 0 -}}
{{- printf "http://%s.%s:6335" (index . 1) (include "chatacter.host" (list $context (include "chatacter.qdrant.headless" $context))) -}}
{{- end }}

{{/* Where the read-only key lies; nothing when there is none. */}}
{{- define "chatacter.qdrant.readOnlyRef" -}}
{{- $own := .Values.auth.readOnly -}}
{{- if $own.existingSecret }}
name: {{ $own.existingSecret | quote }}
key: {{ $own.existingSecretKey | quote }}
{{- else if $own.apiKey }}
name: {{ include "chatacter.name" (list . "qdrant-read-only") }}
key: qdrant-read-only-api-key
{{- end }}
{{- end }}

{{/* Further settings are environment variables, of which the chart's own may not stand twice. */}}
{{- define "chatacter.qdrant.env" -}}
- name: QDRANT__SERVICE__API_KEY
  valueFrom:
    secretKeyRef:
      {{- include "chatacter.qdrantApiKeyRef" (dict "context" . "qdrant" .Values) | nindent 6 }}
{{- with include "chatacter.qdrant.readOnlyRef" . | trim }}
- name: QDRANT__SERVICE__READ_ONLY_API_KEY
  valueFrom:
    secretKeyRef:
      {{- . | nindent 6 }}
{{- end }}
- name: QDRANT__STORAGE__STORAGE_PATH
  value: /qdrant/storage
- name: QDRANT__STORAGE__SNAPSHOTS_PATH
  value: /qdrant/snapshots
- name: QDRANT_INIT_FILE_PATH
  value: /tmp/initialized
- name: QDRANT__TELEMETRY_DISABLED
  value: "true"
- name: QDRANT__SERVICE__ENABLE_STATIC_CONTENT
  value: "false"
- name: QDRANT__SERVICE__ENABLE_CORS
  value: "false"
{{- if gt (int .Values.replicas) 1 }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: QDRANT__CLUSTER__ENABLED
  value: "true"
- name: QDRANT__CLUSTER__P2P__PORT
  value: "6335"
- name: QDRANT__SERVICE__ENFORCE_INTERNAL_AUTH
  value: "true"
- name: QDRANT__STORAGE__COLLECTION__REPLICATION_FACTOR
  value: {{ min .Values.replicationFactor .Values.replicas | quote }}
- name: QDRANT_URI
  value: {{ include "chatacter.qdrant.nodeUrl" (list . "$(POD_NAME)") | quote }}
# A node whose own address this is begins the cluster.
- name: QDRANT_BOOTSTRAP
  value: {{ include "chatacter.qdrant.nodeUrl" (list . (printf "%s-0" (include "chatacter.name" (list . "qdrant")))) | quote }}
{{- end }}
{{- include "chatacter.settingsEnv" .Values.settings }}
{{- end }}

{{/* One volume holds data and snapshots in two folders, unless snapshots have a volume of their own. */}}
{{- define "chatacter.qdrant.mounts" -}}
- name: data
  mountPath: /qdrant/storage
  subPath: storage
{{- if .Values.snapshots.size }}
- name: snapshots
  mountPath: /qdrant/snapshots
{{- else }}
- name: data
  mountPath: /qdrant/snapshots
  subPath: snapshots
{{- end }}
- name: tmp
  mountPath: /tmp
{{- end }}

{{/* A volume of each pod's own. Takes a dict: context, name, persistence (storageClassName, accessMode, size). */}}
{{- define "chatacter.qdrant.claim" -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: {{ .name | quote }}
    labels:
      {{- include "chatacter.selectorLabels" (list .context "qdrant") | nindent 6 }}
  spec:
    accessModes: [{{ .persistence.accessMode }}]
    {{- with .persistence.storageClassName }}
    storageClassName: {{ . | quote }}
    {{- end }}
    resources:
      requests:
        storage: {{ .persistence.size | quote }}
{{- end }}

{{/* Shards travel as snapshots over HTTP, everything else between nodes over the port of their own. */}}
{{- define "chatacter.qdrant.betweenNodes" -}}
- port: 6333
  protocol: TCP
- port: 6335
  protocol: TCP
{{- end }}
