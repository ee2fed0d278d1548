{{- define "twofold.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* (list $ "answer"): labels that pods are selected by. */}}
{{- define "twofold.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: twofold
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "twofold.labels" -}}
{{- $root := index . 0 -}}
{{ include "twofold.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* (list $ "answer"): name, namespace and labels. */}}
{{- define "twofold.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "twofold.name" $root }}-{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "twofold.labels" . | nindent 2 }}
{{- end }}

{{- define "twofold.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "twofold.secret" -}}
{{- default (printf "%s-secrets" (include "twofold.name" .)) .Values.secrets.existingSecret }}
{{- end }}

{{- define "twofold.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* (list uid gid): what every pod is held to. The group reads mounted secrets. */}}
{{- define "twofold.security" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ index . 0 }}
  runAsGroup: {{ index . 1 }}
  fsGroup: {{ index . 1 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* (list $ "answer"): where pods go. */}}
{{- define "twofold.placement" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "twofold.selector" (list $root (index $ 1)) | nindent 8 }}
  {{- end }}
{{- end }}

{{/* Settings that every process of ours has. */}}
{{- define "twofold.env" -}}
- {name: TWOFOLD_SECRETS_DIR, value: /run/secrets/twofold}
- {name: TWOFOLD_HOME, value: /var/lib/twofold}
- {name: TWOFOLD_HOST, value: 0.0.0.0}
- {name: TWOFOLD_PROXIES, value: {{ .Values.widget.proxies | toJson | quote }}}
- {name: TWOFOLD_QDRANT_URL, value: {{ include "twofold.qdrantUrl" . | quote }}}
- {name: TWOFOLD_QDRANT_SHARDS, value: {{ .Values.qdrant.shards | quote }}}
- {name: TWOFOLD_QDRANT_REPLICAS, value: {{ .Values.qdrant.copies | quote }}}
- {name: TWOFOLD_QDRANT_QUANTIZED, value: {{ .Values.qdrant.quantized | quote }}}
{{- if or .Values.house.text .Values.house.existingConfigMap }}
- {name: TWOFOLD_HOUSE, value: /app/house/house.yaml}
{{- else if .Values.example.enabled }}
- {name: TWOFOLD_HOUSE, value: examples/brackwater/house.yaml}
{{- end }}
{{- if .Values.vllm.enabled }}
- {name: TWOFOLD_MODEL_URL, value: "http://{{ include "twofold.name" . }}-vllm:8000/v1"}
- {name: TWOFOLD_MODEL_ADMIN_URL, value: "http://{{ include "twofold.name" . }}-vllm:8000"}
- {name: TWOFOLD_MODEL_NAME, value: {{ .Values.vllm.model | quote }}}
{{- else if .Values.vllm.external.url }}
- {name: TWOFOLD_MODEL_URL, value: {{ .Values.vllm.external.url | quote }}}
- {name: TWOFOLD_MODEL_ADMIN_URL, value: {{ .Values.vllm.external.adminUrl | quote }}}
- {name: TWOFOLD_MODEL_NAME, value: {{ .Values.vllm.model | quote }}}
{{- else if not (hasKey .Values.settings "TWOFOLD_READ_AHEAD") }}
- {name: TWOFOLD_READ_AHEAD, value: "true"}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{- define "twofold.qdrantUrl" -}}
{{- if .Values.qdrant.enabled }}http://{{ include "twofold.name" . }}-qdrant:6333{{ else }}{{ .Values.qdrant.url }}{{ end }}
{{- end }}

{{- define "twofold.mounts" -}}
- {name: secrets, mountPath: /run/secrets/twofold, readOnly: true}
- {name: home, mountPath: /var/lib/twofold}
- {name: tmp, mountPath: /tmp}
{{- if or .Values.house.text .Values.house.existingConfigMap }}
- {name: house, mountPath: /app/house, readOnly: true}
{{- end }}
{{- if .Values.knowledge.existingClaim }}
- {name: knowledge, mountPath: /app/knowledge, readOnly: true}
{{- end }}
{{- end }}

{{/* Our processes see every secret of the names that settings have, and none of the stores' own. */}}
{{- define "twofold.volumes" -}}
- name: secrets
  secret: {secretName: {{ include "twofold.secret" . }}, defaultMode: 0440}
- name: home
  emptyDir: {sizeLimit: 1Gi}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- if or .Values.house.text .Values.house.existingConfigMap }}
- name: house
  configMap: {name: {{ default (printf "%s-house" (include "twofold.name" .)) .Values.house.existingConfigMap }}}
{{- end }}
{{- if .Values.knowledge.existingClaim }}
- name: knowledge
  persistentVolumeClaim: {claimName: {{ .Values.knowledge.existingClaim }}, readOnly: true}
{{- end }}
{{- end }}

{{/* A new pod where what it read at its start has changed. */}}
{{- define "twofold.podAnnotations" -}}
checksum/settings: {{ toJson (list .Values.settings .Values.house) | sha256sum }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (list $ "answer" "8080"): what Pod Disruption Budgets say here. One at a time, whatever the number: a
     budget that allows none keeps nodes from being drained. */}}
{{- define "twofold.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "twofold.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "twofold.selector" . | nindent 6 }}
{{- end }}

{{/* (list $ component (dict autoscaling)): by the processor. */}}
{{- define "twofold.hpa" -}}
{{- $scale := index . 2 -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "twofold.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "twofold.name" (index . 0) }}-{{ index . 1 }}}
  minReplicas: {{ $scale.minReplicas }}
  maxReplicas: {{ $scale.maxReplicas }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ $scale.targetCPU }}}}
  behavior:
    # Streams are open on what goes: down slowly, one at a time.
    scaleDown:
      stabilizationWindowSeconds: 300
      policies: [{type: Pods, value: 1, periodSeconds: 120}]
{{- end }}

{{/* What cannot work together is refused before anything is made. */}}
{{- define "twofold.check" -}}
{{- $own := not (or .Values.secrets.existingSecret .Values.secrets.external.enabled) -}}
{{- if and $own (not .Values.postgres.enabled) }}{{ fail "postgres.enabled is false: put TWOFOLD_LEDGER_URL into a Secret and name it in secrets.existingSecret, or set secrets.external." }}{{ end -}}
{{- if and $own (not .Values.redis.enabled) }}{{ fail "redis.enabled is false: put TWOFOLD_REDIS_URL into a Secret and name it in secrets.existingSecret, or set secrets.external." }}{{ end -}}
{{- if and (not .Values.qdrant.enabled) (not .Values.qdrant.url) }}{{ fail "qdrant.enabled is false: set qdrant.url." }}{{ end -}}
{{- if and .Values.vllm.enabled .Values.vllm.external.url }}{{ fail "vllm.enabled and vllm.external.url are both set: choose one." }}{{ end -}}
{{- if gt (int .Values.qdrant.copies) (int .Values.qdrant.replicas) }}{{ if .Values.qdrant.enabled }}{{ fail "qdrant.copies is more than qdrant.replicas: there are not so many nodes." }}{{ end }}{{ end -}}
{{- if and .Values.secrets.existingSecret .Values.secrets.external.enabled }}{{ fail "secrets.existingSecret and secrets.external are both set: choose one." }}{{ end -}}
{{- if and .Values.backup.restore (not .Values.backup.enabled) }}{{ fail "backup.restore names a backup, but backup.enabled is false: there is no volume to read it from." }}{{ end -}}
{{- if and .Values.backup.enabled (not .Values.postgres.enabled) }}{{ fail "backup.enabled dumps the chart's own PostgreSQL: with one of yours, use its backups (docs/operations/backup.md)." }}{{ end -}}
{{- if and .Values.backup.enabled (not .Values.qdrant.enabled) }}{{ fail "backup.enabled snapshots the chart's own Qdrant: with one of yours, use its backups (docs/operations/backup.md)." }}{{ end -}}
{{- if and (gt (int .Values.vllm.replicas) 1) .Values.vllm.enabled (eq .Values.vllm.cache.accessMode "ReadWriteOnce") }}{{ fail "vllm.replicas is more than one: vllm.cache.accessMode has to be ReadWriteMany (or ReadOnlyMany)." }}{{ end -}}
{{- end }}

{{/* (list $ "redis"): a peer of this release. */}}
{{- define "twofold.peer" -}}
- podSelector: {matchLabels: {{ include "twofold.selector" . | fromYaml | toJson }}}
{{- end }}

{{- define "twofold.egress.dns" -}}
- to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]
  ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
{{- end }}

{{/* To the ledger, the queue and the index, inside the release or outside the cluster. */}}
{{- define "twofold.egress.stores" -}}
{{- $root := . -}}
{{- range $store, $port := dict "postgres" 5432 "redis" 6379 "qdrant" 6333 }}
{{- if (index $root.Values $store).enabled }}
- to: {{- include "twofold.peer" (list $root $store) | nindent 4 }}
  ports: [{protocol: TCP, port: {{ $port }}}]
{{- end }}
{{- end }}
{{- range .Values.networkPolicy.stores }}
- to: [{ipBlock: {cidr: {{ .cidr }}}}]
  ports: {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
  {{- end }}
{{- end }}
{{- end }}

{{/* To the world: sources, hand-overs, models; never to networks of your own. */}}
{{- define "twofold.egress.out" -}}
- to: [{ipBlock: {cidr: 0.0.0.0/0, except: {{ toJson .Values.networkPolicy.egressExcept }}}}]
  ports: [{protocol: TCP, port: 443}, {protocol: TCP, port: 80}]
{{- end }}

{{- define "twofold.policyTypes" -}}
policyTypes: [Ingress, Egress]
{{- end }}
