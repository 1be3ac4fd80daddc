{{/* Which predictors there are, for Chattr and for the subchart that serves them. */}}

{{/* Values laid over others, maps into maps, as JSON. Takes a list: below, over. */}}
{{- define "chatacter.laidOver" -}}
{{- $result := deepCopy (index . 0) -}}
{{- range $key, $value := index . 1 -}}
{{- $below := get $result $key -}}
{{- if kindIs "invalid" $value -}}
{{- $result = unset $result $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" $below) -}}
{{- $result = set $result $key (include "chatacter.laidOver" (list $below $value) | fromJson) -}}
{{- else -}}
{{- $result = set $result $key $value -}}
{{- end -}}
{{- end -}}
{{- toJson $result -}}
{{- end }}

{{/* Every enabled model, complete with the defaults, by its key, as JSON. Takes the values of the part inference. */}}
{{- define "chatacter.models" -}}
{{- $models := dict -}}
{{- range $key, $model := .models -}}
{{- /* A part that is switched off has no defaults either. */ -}}
{{- if and $.enabled $model -}}
{{- $whole := include "chatacter.laidOver" (list $.defaults $model) | fromJson -}}
{{- if $whole.enabled -}}
{{- $name := ternary $key ($whole.backend | default "") (eq $whole.modality "language") -}}
{{- $models = set $models $key (set $whole "servedName" ($whole.servedName | default $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $models -}}
{{- end }}

{{/*
The predictors of one modality as Chattr meets them, as JSON: enabled; url and model of the default one; urls, from
model to base URL, of all, so that a cold one is known by its name; timeout, the seconds that the slowest of this
release's own may take. Takes a list: context, modality, what stands outside (url, model, urls), and that value's name.
*/}}
{{- define "chatacter.predictorsOf" -}}
{{- $context := index . 0 -}}
{{- $modality := index . 1 -}}
{{- $external := index . 2 -}}
{{- $found := dict "url" "" "model" "" "urls" (deepCopy ($external.urls | default dict)) "timeout" 0 -}}
{{- range $key, $model := include "chatacter.models" $context.Values.inference | fromJson -}}
{{- if eq $model.modality $modality -}}
{{- $url := include "chatacter.modelUrl" (list $context $key) -}}
{{- if $model.default -}}
{{- $found = merge (dict "url" $url "model" $model.servedName) (omit $found "url" "model") -}}
{{- end -}}
{{- if hasKey $found.urls $model.servedName -}}
{{- fail (printf "%s.urls names %q, which inference.models.%s is served as: drop the one, or give the other another servedName." (index $ 3) $model.servedName $key) -}}
{{- end -}}
{{- $found = set $found "urls" (set $found.urls $model.servedName $url) -}}
{{- $found = set $found "timeout" (max (int $found.timeout) (int $model.timeout)) -}}
{{- end -}}
{{- end -}}
{{- if and $found.url $external.url -}}
{{- fail (printf "%s.url is set, and inference.models has models of modality %s too: keep one, or give those outside as %s.urls beside them." (index . 3) $modality (index . 3)) -}}
{{- end -}}
{{- if not $found.url -}}
{{- $found = merge (dict "url" ($external.url | default "") "model" ($external.model | default "")) (omit $found "url" "model") -}}
{{- end -}}
{{- if and $found.urls (not $found.url) -}}
{{- fail (printf "%s.urls names models, and nothing is the default for %s: set %s.url to the one that answers where nobody names a model." (index . 3) $modality (index . 3)) -}}
{{- end -}}
{{- toJson (set $found "enabled" (not (empty $found.url))) -}}
{{- end }}

{{- define "chatacter.speech" -}}
{{- include "chatacter.predictorsOf" (list . "speech" .Values.externalVocalizr "externalVocalizr") -}}
{{- end }}

{{- define "chatacter.video" -}}
{{- include "chatacter.predictorsOf" (list . "video" .Values.externalVisualizr "externalVisualizr") -}}
{{- end }}

{{/* Whether the predictors stand behind Knative's gateway. Takes the values of the part inference. */}}
{{- define "chatacter.modelsBehindKnative" -}}
{{- if and .enabled (eq (dig "serving" "mode" "" .) "Knative") }}true{{ end -}}
{{- end }}
