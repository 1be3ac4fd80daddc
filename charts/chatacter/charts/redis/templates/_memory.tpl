{{/* Bytes of a Kubernetes quantity of memory. */}}
{{- define "chatacter.redis.bytes" -}}
{{- $unit := regexFind "[A-Za-z]*$" (toString .) -}}
{{- $factor := get (dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776) $unit -}}
{{- mulf (float64 (trimSuffix $unit (toString .))) $factor | int64 -}}
{{- end }}

{{/*
maxmemory in bytes. Redis needs room beside its data: for connections, and for what changes while the log is rewritten.
Takes a list: where the values stand, the values (maxMemory, resources).
*/}}
{{- define "chatacter.redis.maxmemory" -}}
{{- $where := index . 0 -}}
{{- $values := index . 1 -}}
{{- $bytes := include "chatacter.redis.bytes" $values.maxMemory | int64 -}}
{{- $limit := include "chatacter.redis.bytes" $values.resources.limits.memory | int64 -}}
{{- if gt (mul $bytes 4) (mul $limit 3) -}}
{{- printf "%s.maxMemory (%s) leaves Redis no room beside its data: keep it at three quarters of %s.resources.limits.memory (%v) or less." $where $values.maxMemory $where $values.resources.limits.memory | fail -}}
{{- end -}}
{{- $bytes -}}
{{- end }}
