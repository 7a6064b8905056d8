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

{{- define "cwp-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "cwp-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cwp-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/*
The metadata of an object of the chart `root`, with its own `labels` and `annotations`. It has the
name and the namespace of the others, unless it has a `name`, a `suffix` to the name or a
`namespace`. The labels that select pods win over all others, and those of the object over common
ones.
*/}}
{{- define "cwp-exporter.metadata" -}}
{{- $root := .root -}}
name: {{ default (include "cwp-exporter.fullname" $root) .name }}{{ default "" .suffix }}
namespace: {{ default (include "cwp-exporter.namespace" $root) .namespace }}
labels:
  {{- include "cwp-exporter.labels" (dict "root" $root "labels" .labels) | nindent 2 }}
{{- with merge (dict) (default dict .annotations) (default dict $root.Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The labels of an object of the chart `root`, with its own `labels`. */}}
{{- define "cwp-exporter.labels" -}}
{{- $root := .root -}}
{{- $labels := include "cwp-exporter.selectorLabels" $root | fromYaml -}}
{{- $standard := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_")
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/component" "exporter"
  "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- merge $labels (default dict .labels) (default dict $root.Values.commonLabels) $standard | toYaml -}}
{{- end -}}

{{/* The labels of an object of the Prometheus Operator, with its own `labels`. */}}
{{- define "cwp-exporter.operatorLabels" -}}
{{- $labels := merge (dict) .labels -}}
{{- with .root.Values.releaseLabel -}}
{{- $labels = merge $labels (dict "release" .) -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* The value `job` of all series. */}}
{{- define "cwp-exporter.jobName" -}}
{{- default (include "cwp-exporter.fullname" .) .Values.serviceMonitor.jobName -}}
{{- end -}}

{{/* The name of an `image` of the chart `root`; `tag` is for an image without one. */}}
{{- define "cwp-exporter.image" -}}
{{- $registry := default .image.registry (default dict .root.Values.global).imageRegistry -}}
{{- $name := .image.repository -}}
{{- if $registry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" $registry) $name -}}
{{- else if not (contains "/" $name) -}}
{{- fail "image.registry is empty, and there is no public image of cwp-exporter: build deploy/docker/Dockerfile, push it to your registry, and name that with --set image.registry=registry.example.com (or global.imageRegistry). For an image that the nodes have already, set image.registry=docker.io/library" -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "cwp-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cwp-exporter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* How the web server is spoken to, unless a value says otherwise. */}}
{{- define "cwp-exporter.scheme" -}}
{{- if .Values.webConfigSecret }}https{{ else }}http{{ end -}}
{{- end -}}

{{/* Refuses values that contradict each other. */}}
{{- define "cwp-exporter.check" -}}
{{- if and .Values.sharding.enabled (gt (int .Values.replicas) 1) -}}
{{- fail "replicas are for a Deployment, and sharding.shards for a StatefulSet: with sharding.enabled, leave replicas at 1" -}}
{{- end -}}
{{- if and .Values.existingConfigMap .Values.existingConfigSecret -}}
{{- fail "existingConfigMap and existingConfigSecret are both set: the configuration is in one of them" -}}
{{- end -}}
{{- if not (or .Values.existingConfigMap .Values.existingConfigSecret) -}}
{{- if and .Values.accountsFrom (not .Values.config.accounts_files) -}}
{{- fail "accountsFrom has files that config does not name: set config.accounts_files to [/etc/cwp-exporter/accounts.d/*.yml]" -}}
{{- end -}}
{{- /* kubectl apply and Argo CD keep an object in an annotation of itself, which holds 256 KiB. */ -}}
{{- if gt (toYaml .Values.config | toJson | len) 245000 -}}
{{- fail "config is larger than kubectl apply and Argo CD can store, which is about 1,000 accounts: put the accounts into several ConfigMaps of your own, and name those in accountsFrom" -}}
{{- end -}}
{{- end -}}
{{- if .Values.persistence.enabled -}}
{{- if and .Values.sharding.enabled .Values.persistence.existingClaim -}}
{{- fail "persistence.existingClaim is one volume, and with sharding.enabled each pod needs its own: leave it empty" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.sharding.enabled) -}}
{{- fail "persistence.enabled is one volume, which several replicas cannot share: set replicas to 1, or use sharding" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cwp-exporter.configVolume" -}}
name: config
{{- if .Values.existingConfigSecret }}
secret:
  secretName: {{ .Values.existingConfigSecret }}
  defaultMode: 0440
{{- else }}
configMap:
  name: {{ default (include "cwp-exporter.fullname" .) .Values.existingConfigMap }}
{{- end }}
{{- end -}}

{{/* The volumes that the exporter and its test read. */}}
{{- define "cwp-exporter.volumes" -}}
- {{ include "cwp-exporter.configVolume" . | nindent 2 | trim }}
{{- with .Values.accountsFrom }}
- name: accounts
  projected:
    defaultMode: 0440
    sources:
      {{- toYaml . | nindent 6 }}
{{- end }}
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

{{- define "cwp-exporter.configMounts" -}}
- name: config
  mountPath: /etc/cwp-exporter/config
  readOnly: true
{{- if .Values.accountsFrom }}
- name: accounts
  mountPath: /etc/cwp-exporter/accounts.d
  readOnly: true
{{- end }}
{{- end -}}

{{- define "cwp-exporter.volumeMounts" -}}
{{ include "cwp-exporter.configMounts" . }}
{{- if .Values.existingSecret }}
- name: keys
  mountPath: /etc/cwp-exporter/keys
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What the pods of the exporter and of its test have in common. */}}
{{- define "cwp-exporter.podSettings" -}}
serviceAccountName: {{ include "cwp-exporter.serviceAccountName" . }}
automountServiceAccountToken: {{ .Values.automountServiceAccountToken }}
{{- with concat (default list .Values.imagePullSecrets) (default list (default dict .Values.global).imagePullSecrets) }}
imagePullSecrets:
  {{- range . }}
  {{- /* Charts disagree on what `global` has: names, or objects with a name. */}}
  - name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "runtimeClassName" "hostAliases" "hostNetwork" "dnsPolicy" "dnsConfig" }}
{{- with get $.Values $field }}
{{ dict $field . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a Deployment and a StatefulSet have in common. */}}
{{- define "cwp-exporter.podTemplate" -}}
{{- $annotations := merge (dict) (default dict .Values.podAnnotations) (default dict .Values.commonAnnotations) -}}
{{- if not (or .Values.existingConfigMap .Values.existingConfigSecret .Values.configReloader.enabled) -}}
{{- $annotations = merge $annotations (dict "checksum/config" (toYaml .Values.config | sha256sum)) -}}
{{- end -}}
metadata:
  labels:
    {{- include "cwp-exporter.labels" (dict "root" . "labels" .Values.podLabels) | nindent 4 }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "cwp-exporter.podSettings" . | nindent 2 }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: cwp-exporter
      image: {{ include "cwp-exporter.image" (dict "root" . "image" .Values.image "tag" .Chart.AppVersion) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - --config.file=/etc/cwp-exporter/config/cwp-exporter.yml
        - --state.dir=/var/lib/cwp-exporter
        - --web.listen-address=:10064
        - --log.level={{ .Values.log.level }}
        - --log.format={{ .Values.log.format }}
        {{- if .Values.webConfigSecret }}
        - --web.config.file=/etc/cwp-exporter/web/web-config.yml
        {{- /* The kubelet has no password. A flag may be given once only. */}}
        {{- if not (has "--web.health-without-auth" .Values.extraArgs) }}
        - --web.health-without-auth
        {{- end }}
        {{- end }}
        {{- if and .Values.configReloader.enabled (not (has "--web.enable-lifecycle" .Values.extraArgs)) }}
        - --web.enable-lifecycle
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
      {{- with .Values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: 10064
          protocol: TCP
      livenessProbe:
        {{- include "cwp-exporter.probe" (dict "root" . "path" "/-/healthy" "fields" .Values.livenessProbe) | nindent 8 }}
      readinessProbe:
        {{- include "cwp-exporter.probe" (dict "root" . "path" "/-/ready" "fields" .Values.readinessProbe) | nindent 8 }}
      {{- with .Values.startupProbe }}
      startupProbe:
        {{- include "cwp-exporter.probe" (dict "root" $ "path" "/-/healthy" "fields" .) | nindent 8 }}
      {{- end }}
      {{- with .Values.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
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
    {{- if .Values.configReloader.enabled }}
    - name: config-reloader
      {{- include "cwp-exporter.configReloader" . | nindent 6 }}
    {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "cwp-exporter.volumes" . | nindent 4 }}
    {{- if not .Values.persistence.enabled }}
    # Outlives the container, so that one that was restarted has values at once.
    - name: state
      emptyDir:
        sizeLimit: 256Mi
    {{- else if not .Values.sharding.enabled }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ default (printf "%s-state" (include "cwp-exporter.fullname" .)) .Values.persistence.existingClaim }}
    {{- end }}
    {{- with .Values.webConfigSecret }}
    - name: web
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
{{- end -}}

{{/* The container that watches the configuration's folders, after its name. */}}
{{- define "cwp-exporter.configReloader" -}}
{{- $url := printf "%s://127.0.0.1:10064/-/reload" (include "cwp-exporter.scheme" .) -}}
image: {{ include "cwp-exporter.image" (dict "root" . "image" .Values.configReloader.image) | quote }}
imagePullPolicy: {{ .Values.configReloader.image.pullPolicy }}
args:
  - --watched-dir=/etc/cwp-exporter/config
  {{- if .Values.accountsFrom }}
  - --watched-dir=/etc/cwp-exporter/accounts.d
  {{- end }}
  - --reload-url={{ default $url .Values.configReloader.url }}
  - --listen-address=127.0.0.1:8080
{{- with .Values.configReloader.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.configReloader.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  {{- include "cwp-exporter.configMounts" . | nindent 2 }}
{{- end -}}

{{/* A probe of `path`, with `fields` over its own. Fields with another way of asking replace httpGet. */}}
{{- define "cwp-exporter.probe" -}}
{{- $probes := .root.Values.probes -}}
{{- $fields := default dict .fields -}}
{{- $get := dict "path" .path "port" "http" "scheme" (default (include "cwp-exporter.scheme" .root | upper) $probes.scheme) -}}
{{- with $probes.httpHeaders -}}
{{- $_ := set $get "httpHeaders" . -}}
{{- end -}}
{{- $probe := dict "periodSeconds" 10 "timeoutSeconds" 5 -}}
{{- if not (or $fields.tcpSocket $fields.exec $fields.grpc) -}}
{{- $_ := set $probe "httpGet" $get -}}
{{- end -}}
{{- merge (dict) $fields $probe | toYaml -}}
{{- end -}}

{{/* The claim of the volume for the last good values: its `spec`. */}}
{{- define "cwp-exporter.claim" -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- with .storageClassName }}
storageClassName: {{ . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end -}}
