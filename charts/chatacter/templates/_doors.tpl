{{/* The ways in: which address is whose. */}}

{{/*
Everything that the page asks for in a browser, as JSON: path → Exact, or Prefix for a folder. Its process answers more
(probes, metrics), which is nobody's outside.
*/}}
{{- define "chatacter.pagePaths" -}}
{{- $paths := dict -}}
{{- range list "/" "/config" "/theme.css" "/favicon.ico" "/manifest.json" "/robots.txt" -}}
{{- $paths = set $paths . "Exact" -}}
{{- end -}}
{{- range list "/assets" "/static" "/svelte" "/gradio_api" -}}
{{- $paths = set $paths . "Prefix" -}}
{{- end -}}
{{- toJson $paths -}}
{{- end }}

{{/* Where people come in, as a URL; empty when there is no door. */}}
{{- define "chatacter.publicUrl" -}}
{{- if .Values.ingress.enabled -}}
{{- printf "%s://%s" (ternary "https" "http" .Values.ingress.tls.enabled) .Values.ingress.host -}}
{{- else if .Values.httpRoute.enabled -}}
{{- printf "https://%s" (first (append .Values.httpRoute.hostnames "the-address-of-your-gateway")) -}}
{{- end -}}
{{- end }}

{{/* An Ingress. Takes a dict: context, component, annotations, paths (path → pathType). */}}
{{- define "chatacter.ingress" -}}
{{- $context := .context -}}
{{- $name := include "chatacter.name" (list $context .component) -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $name }}
  labels:
    {{- include "chatacter.labels" (list $context .component) | nindent 4 }}
  annotations:
    {{- toYaml .annotations | nindent 4 }}
spec:
  {{- with $context.Values.ingress.className }}
  ingressClassName: {{ . | quote }}
  {{- end }}
  {{- with $context.Values.ingress.tls }}
  {{- if .enabled }}
  tls:
    - hosts:
        - {{ $context.Values.ingress.host | quote }}
      secretName: {{ .secretName | default (include "chatacter.name" (list $context "tls")) | quote }}
  {{- end }}
  {{- end }}
  rules:
    - host: {{ $context.Values.ingress.host | quote }}
      http:
        paths:
          {{- range $path, $type := .paths }}
          - path: {{ $path | quote }}
            pathType: {{ $type }}
            backend:
              service:
                name: {{ $name }}
                port:
                  name: http
          {{- end }}
{{- end }}

{{/* Where an HTTPRoute's rule leads, and how long it may take. Takes a list: context, component. */}}
{{- define "chatacter.routeTo" -}}
backendRefs:
  - name: {{ include "chatacter.name" . }}
    port: 8000
{{- with (index . 0).Values.httpRoute.requestTimeout }}
timeouts:
  request: {{ . }}
{{- end }}
{{- end }}
