{{/*
maxmemory in bytes. Redis needs room beside its data: for connections, and for what changes while the log is rewritten.
Takes a list: where the values stand, the values (maxMemory, resources).
*/}}
{{- define "chatacter.redis.maxmemory" -}}
{{- $where := index . 0 -}}
{{- $values := index . 1 -}}
{{- $bytes := include "chatacter.bytes" $values.maxMemory | int64 -}}
{{- $limit := include "chatacter.bytes" $values.resources.limits.memory | int64 -}}
{{- if gt (mul $bytes 4) (mul $limit 3) -}}
{{- printf "%s.maxMemory (%s) leaves Redis no room beside its data: keep it at three quarters of %s.resources.limits.memory (%v) or less." $where $values.maxMemory $where $values.resources.limits.memory | fail -}}
{{- end -}}
{{- $bytes -}}
{{- end }}
