{{- define "cwp-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Shortened so that a suffix and a pod's number still fit into 63 characters. */}}
{{- define "cwp-exporter.fullname" -}}
{{- $name := include "cwp-exporter.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cwp-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cwp-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cwp-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "cwp-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: exporter
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cwp-exporter.image" -}}
{{- $name := .Values.image.repository -}}
{{- with .Values.image.registry -}}
{{- $name = printf "%s/%s" . $name -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "cwp-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cwp-exporter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The volumes that the exporter and its test read. */}}
{{- define "cwp-exporter.volumes" -}}
- name: config
  configMap:
    name: {{ include "cwp-exporter.fullname" . }}
{{- with .Values.existingSecret }}
- name: keys
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cwp-exporter.volumeMounts" -}}
- name: config
  mountPath: /etc/cwp-exporter/config
  readOnly: true
{{- if .Values.existingSecret }}
- name: keys
  mountPath: /etc/cwp-exporter/keys
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What a Deployment and a StatefulSet have in common. */}}
{{- define "cwp-exporter.podTemplate" -}}
metadata:
  labels:
    {{- include "cwp-exporter.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ toYaml .Values.config | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "cwp-exporter.serviceAccountName" . }}
  automountServiceAccountToken: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  containers:
    - name: cwp-exporter
      image: {{ include "cwp-exporter.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - --config.file=/etc/cwp-exporter/config/cwp-exporter.yml
        - --state.dir=/var/lib/cwp-exporter
        - --web.listen-address=:10064
        - --log.level={{ .Values.log.level }}
        - --log.format={{ .Values.log.format }}
        {{- if .Values.webConfigSecret }}
        - --web.config.file=/etc/cwp-exporter/web/web-config.yml
        {{- end }}
        {{- if .Values.sharding.enabled }}
        - --shard.index=auto
        - --shard.total={{ .Values.sharding.shards }}
        {{- else }}
        - --replica.count={{ .Values.replicas }}
        {{- end }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or .Values.sharding.enabled .Values.extraEnv }}
      env:
        {{- if .Values.sharding.enabled }}
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - name: http
          containerPort: 10064
          protocol: TCP
      livenessProbe:
        {{- include "cwp-exporter.probe" (list "/-/healthy" .) | nindent 8 }}
      readinessProbe:
        {{- include "cwp-exporter.probe" (list "/-/ready" .) | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        {{- include "cwp-exporter.volumeMounts" . | nindent 8 }}
        - name: state
          mountPath: /var/lib/cwp-exporter
        {{- if .Values.webConfigSecret }}
        - name: web
          mountPath: /etc/cwp-exporter/web
          readOnly: true
        {{- end }}
  volumes:
    {{- include "cwp-exporter.volumes" . | nindent 4 }}
    # Outlives the container, so that one that was restarted has values at once.
    - name: state
      emptyDir:
        sizeLimit: 256Mi
    {{- with .Values.webConfigSecret }}
    - name: web
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "cwp-exporter.probe" -}}
{{- $path := index . 0 -}}
{{- $root := index . 1 -}}
httpGet:
  path: {{ $path }}
  port: http
  scheme: {{ $root.Values.probes.scheme }}
  {{- with $root.Values.probes.httpHeaders }}
  httpHeaders:
    {{- toYaml . | nindent 4 }}
  {{- end }}
periodSeconds: 10
timeoutSeconds: 5
{{- end -}}
