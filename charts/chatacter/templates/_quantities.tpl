{{/* Bytes of a Kubernetes quantity of memory. */}}
{{- define "chatacter.bytes" -}}
{{- $unit := regexFind "[A-Za-z]*$" (toString .) -}}
{{- $factors := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (float64 (trimSuffix $unit (toString .))) (get $factors $unit) | int64 -}}
{{- end }}
