{{- /* Every object has the name of the release. */ -}}
{{- define "hello.metadata" -}}
name: {{ .Release.Name }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "hello.labels" . | nindent 2 }}
{{- end }}

{{- define "hello.labels" -}}
{{ include "hello.selector" . }}
app.kubernetes.io/component: web
app.kubernetes.io/part-of: drystone
app.kubernetes.io/version: {{ include "hello.version" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "hello.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hello.version" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "hello.secretName" -}}
{{ .Values.auth.secretName | default .Release.Name }}
{{- end }}

{{- define "hello.workloadApiVersion" -}}
{{ eq .Values.kind "Rollout" | ternary "argoproj.io/v1alpha1" "apps/v1" }}
{{- end }}

{{- define "hello.analysis" -}}
{{- if and (eq .Values.kind "Rollout") .Values.canary.analysis.enabled }}
{{- if not .Values.serviceMonitor.enabled }}
{{- fail "canary.analysis.enabled needs serviceMonitor.enabled: true, because the analysis reads the metrics that it collects for each revision" }}
{{- end }}
{{- true }}
{{- end }}
{{- end }}
