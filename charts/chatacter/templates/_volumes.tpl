{{/* What Chattr and the dispatcher mount, each as one item of a YAML list, or nothing. */}}

{{- define "chatacter.assetsClaimMade" -}}
{{- if not (or .Values.assets.url .Values.assets.persistence.existingClaim) }}true{{ end -}}
{{- end }}

{{- define "chatacter.assetsVolume" -}}
{{- if not .Values.assets.url -}}
- name: assets
  persistentVolumeClaim:
    claimName: {{ .Values.assets.persistence.existingClaim | default (include "chatacter.name" (list . "assets")) | quote }}
{{- end -}}
{{- end }}

{{- define "chatacter.assetsMount" -}}
{{- if not .Values.assets.url -}}
- name: assets
  mountPath: /var/lib/chatacter/assets
{{- end -}}
{{- end }}

{{- define "chatacter.charactersConfigMap" -}}
{{- .Values.characters.existingConfigMap | default (empty .Values.characters.files | ternary "" (include "chatacter.name" (list . "characters"))) -}}
{{- end }}

{{- define "chatacter.charactersVolume" -}}
{{- with include "chatacter.charactersConfigMap" . -}}
- name: characters
  configMap:
    name: {{ . | quote }}
{{- end -}}
{{- end }}

{{- define "chatacter.charactersMount" -}}
{{- if include "chatacter.charactersConfigMap" . -}}
- name: characters
  mountPath: /etc/chatacter/characters
  readOnly: true
{{- end -}}
{{- end }}

{{- define "chatacter.keysVolume" -}}
{{- with include "chatacter.apiKeysRef" . | fromYaml -}}
- name: keys
  secret:
    secretName: {{ .name | quote }}
    defaultMode: 0440
    items:
      - key: {{ .key | quote }}
        path: api_keys.json
{{- end -}}
{{- end }}

{{- define "chatacter.keysMount" -}}
{{- if include "chatacter.apiKeysRef" . | fromYaml -}}
- name: keys
  mountPath: /etc/chatacter/keys
  readOnly: true
{{- end -}}
{{- end }}

{{/* What Chattr reads only at its start: a change of it must roll the pods. */}}
{{- define "chatacter.checksums" -}}
characters: {{ toYaml .Values.characters.files | quote }}
secrets: {{ include "chatacter.fingerprint" (list .Values.secrets .Values.global.serviceToken .Values.redis.auth .Values.qdrant.auth .Values.externalRedis .Values.externalQdrant) | quote }}
{{- end }}

{{/* The same of the dispatcher, which films for minutes and is not to be disturbed by what it does not read. */}}
{{- define "chatacter.dispatcherChecksums" -}}
secrets: {{ include "chatacter.fingerprint" (list .Values.global.serviceToken .Values.redis.auth .Values.externalRedis) | quote }}
{{- end }}

{{- define "chatacter.uiChecksums" -}}
secrets: {{ include "chatacter.fingerprint" .Values.global.serviceToken | quote }}
{{- end }}

{{/* A volume for one node is let go before a new pod, on another node perhaps, can have it. */}}
{{- define "chatacter.assetsStrategy" -}}
{{- if and (not .Values.assets.url) (ne .Values.assets.persistence.accessMode "ReadWriteMany") }}{type: Recreate}{{ end -}}
{{- end }}
