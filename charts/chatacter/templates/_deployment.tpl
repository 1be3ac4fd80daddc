{{/*
A Deployment of the Chattr image. Takes a dict: context, component, values (its part of values.yaml), module (what
`python -m` runs), env, volumes, mounts (YAML lists as text), checksums (name → text whose change rolls the pods).
*/}}
{{- define "chatacter.deployment" -}}
{{- $context := .context -}}
{{- $values := .values -}}
{{- $name := include "chatacter.name" (list $context .component) -}}
{{- $env := concat (.env | fromYamlArray) (include "chatacter.settingsEnv" $values.settings | fromYamlArray) -}}
{{- include "chatacter.refuseTwice" (dict "component" .component "env" (.env | fromYamlArray) "values" $values) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "chatacter.labels" (list $context .component) | nindent 4 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false $values) }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  progressDeadlineSeconds: 600
  strategy:
    {{- .strategy | default "{type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}" | fromYaml | toYaml | nindent 4 }}
  selector:
    matchLabels:
      {{- include "chatacter.selectorLabels" (list $context .component) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "chatacter.podLabels" (list $context .component) | nindent 8 }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        kubectl.kubernetes.io/default-container: {{ .component }}
        {{- range $of, $text := .checksums }}
        checksum/{{ $of }}: {{ sha256sum $text }}
        {{- end }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "chatacter.serviceAccountName" (list $context .component $values) }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ include "chatacter.terminationGrace" $values }}
      securityContext:
        {{- include "chatacter.podSecurityContext" $context | nindent 8 }}
      {{- with include "chatacter.imagePullSecrets" $context | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with include "chatacter.placement" $values | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- if $values.topologySpread }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "chatacter.selectorLabels" (list $context $.component) | nindent 14 }}
        {{- end }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "chatacter.image" (list $context $context.Values.chattr.image) }}
          imagePullPolicy: {{ $context.Values.chattr.image.pullPolicy }}
          command: [python, -m, {{ .module }}]
          env:
            {{- toYaml (concat $env $values.extraEnv) | nindent 12 }}
          {{- with $values.extraEnvFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - name: http
              containerPort: 8000
              protocol: TCP
          {{- include "chatacter.probes" . | nindent 10 }}
          {{- with include "chatacter.preStop" $values | trim }}
          {{- . | nindent 10 }}
          {{- end }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "chatacter.containerSecurityContext" $context | nindent 12 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- with concat (.mounts | default "" | fromYamlArray) $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: 1Gi
        {{- with concat (.volumes | default "" | fromYamlArray) $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end }}

{{/* The port opens when everything that the process needs is open; from then on liveness asks only whether it lives. */}}
{{- define "chatacter.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 90
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* A name twice in a container's environment is an error of the API server; say it here, and say what to do. */}}
{{- define "chatacter.refuseTwice" -}}
{{- $component := .component -}}
{{- $names := list -}}
{{- range .env }}{{ $names = append $names .name }}{{ end -}}
{{- range $name := keys .values.settings | sortAlpha -}}
{{- if has $name $names -}}
{{- fail (printf "%s.settings sets %s, which other values set already: leave it out, or see the chart's README for its value." $component $name) -}}
{{- end -}}
{{- end -}}
{{- $names = concat $names (keys .values.settings) -}}
{{- range .values.extraEnv -}}
{{- if has .name $names -}}
{{- fail (printf "%s.extraEnv sets %s, which the chart sets itself: use its value instead, see the chart's README." $component .name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Takes a list: context, component, the part's values. */}}
{{- define "chatacter.serviceAccountName" -}}
{{- $account := (index . 2).serviceAccount -}}
{{- $account.name | default (ternary (include "chatacter.name" (list (index . 0) (index . 1))) "default" $account.create) -}}
{{- end }}

{{/* The objects that stand beside each Deployment. Takes the dict that "chatacter.deployment" takes. */}}
{{- define "chatacter.beside" -}}
{{- $name := include "chatacter.name" (list .context .component) -}}
{{- if .values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "chatacter.serviceAccountName" (list .context .component .values) }}
  labels:
    {{- include "chatacter.labels" (list .context .component) | nindent 4 }}
  {{- with .values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- if .values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "chatacter.labels" (list .context .component) | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "chatacter.selectorLabels" (list .context .component) | nindent 6 }}
{{- end }}
{{- with .values.service }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "chatacter.labels" (list $.context $.component) | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .type }}
  ports:
    - name: http
      port: 8000
      targetPort: http
      protocol: TCP
      appProtocol: http
  selector:
    {{- include "chatacter.selectorLabels" (list $.context $.component) | nindent 4 }}
{{- end }}
{{- end }}
