{{/* The container of either server. Takes a dict: context, values (resources), volumeMounts. */}}
{{- define "chatacter.redis.container" -}}
- name: redis
  image: {{ include "chatacter.image" (list .context .context.Values.image) }}
  imagePullPolicy: {{ .context.Values.image.pullPolicy }}
  command: [sh, /etc/redis/start.sh, /etc/redis/redis.conf]
  env:
    - name: REDISCLI_AUTH
      valueFrom:
        secretKeyRef:
          {{- include "chatacter.redisPasswordRef" (dict "context" .context "redis" .context.Values) | nindent 10 }}
  ports:
    - name: redis
      containerPort: 6379
  startupProbe:
    exec:
      command: [sh, /etc/redis/ready.sh, "6379"]
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: {{ div (int .context.Values.startupSeconds) 5 | max 1 }}
  readinessProbe:
    exec:
      command: [sh, /etc/redis/ready.sh, "6379"]
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 2
  livenessProbe:
    exec:
      command: [sh, /etc/redis/live.sh, "6379"]
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  resources:
    {{- toYaml .values.resources | nindent 4 }}
  securityContext:
    {{- include "chatacter.containerSecurityContext" .context | nindent 4 }}
  volumeMounts:
    - name: config
      mountPath: /etc/redis
      readOnly: true
    {{- with .volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* What rolls the pods: the configuration, and a password that is given as a value. Takes a list: context, configuration file. */}}
{{- define "chatacter.redis.checksums" -}}
{{- $context := index . 0 -}}
checksum/config: {{ (include (print $context.Template.BasePath "/" (index . 1)) $context | fromYaml).data | toYaml | sha256sum }}
{{- with $context.Values.auth.password }}
checksum/password: {{ include "chatacter.fingerprint" . | sha256sum }}
{{- end }}
{{- end }}

{{/* Further directives of redis.conf, where YAML's true is `yes`. */}}
{{- define "chatacter.redis.directives" -}}
{{- range $name, $value := . }}
{{- if kindIs "bool" $value }}
{{ $name }} {{ ternary "yes" "no" $value }}
{{- else }}
{{ $name }} {{ kindIs "string" $value | ternary $value (toJson $value) }}
{{- end }}
{{- end }}
{{- end }}
