{{/* (list $ "backup" or "restore"): the database's own tools first, then ours for the index. */}}
{{- define "twofold.backupPod" -}}
{{- $root := index . 0 }}
{{- $restoring := eq (index . 1) "restore" }}
metadata:
  labels: {{- include "twofold.labels" (list $root "backup") | nindent 4 }}
spec:
  restartPolicy: Never
  {{- include "twofold.security" (list 10001 10001) | nindent 2 }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  initContainers:
    - name: ledger
      image: {{ $root.Values.postgres.image }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [bash, -euo, pipefail, -c]
      args:
        {{- if $restoring }}
        - |
          export PGPASSWORD="$(cat /run/secrets/twofold/postgres-password)"
          test -s "/backup/$BACKUP/ledger.dump" || { echo "There is no backup $BACKUP; there are:"; ls /backup; exit 1; }
          pg_restore --clean --if-exists --no-owner --single-transaction --dbname=twofold "/backup/$BACKUP/ledger.dump"
        {{- else }}
        - |
          export PGPASSWORD="$(cat /run/secrets/twofold/postgres-password)"
          name="$(date -u +%Y%m%dt%H%M%S)"
          mkdir -p "/backup/.$name"
          pg_dump --format=custom --file="/backup/.$name/ledger.dump" twofold
          echo "$name" >/staging/name
        {{- end }}
      env:
        - {name: PGHOST, value: {{ include "twofold.name" $root }}-postgres}
        - {name: PGUSER, value: twofold}
        - {name: BACKUP, value: {{ $root.Values.backup.restore | quote }}}
      {{- include "twofold.container" $root | nindent 6 }}
      resources: {{- toYaml $root.Values.backup.resources | nindent 8 }}
      volumeMounts:
        {{- include "twofold.mounts" $root | nindent 8 }}
        - {name: backup, mountPath: /backup}
        - {name: work, mountPath: /staging}
  containers:
    - name: index
      image: {{ include "twofold.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [sh, -euc]
      args:
        {{- if $restoring }}
        - twofold restore "/backup/$BACKUP" --index-only
        {{- else }}
        # A backup has its name once it is whole; the oldest go when the new one is there.
        - |
          name="$(cat /staging/name)"
          twofold backup "/backup/.$name" --index-only
          mv "/backup/.$name" "/backup/$name"
          ls -1d /backup/[0-9]*t* | head -n -{{ $root.Values.backup.keep }} | xargs -r rm -rf --
        {{- end }}
      env:
        {{- include "twofold.env" $root | nindent 8 }}
        - {name: BACKUP, value: {{ $root.Values.backup.restore | quote }}}
      {{- include "twofold.container" $root | nindent 6 }}
      resources: {requests: {cpu: 100m, memory: 256Mi}, limits: {cpu: "2", memory: 2Gi}}
      volumeMounts:
        {{- include "twofold.mounts" $root | nindent 8 }}
        - {name: backup, mountPath: /backup}
        - {name: work, mountPath: /staging}
  volumes:
    {{- include "twofold.volumes" $root | nindent 4 }}
    - name: backup
      persistentVolumeClaim: {claimName: {{ default (printf "%s-backup" (include "twofold.name" $root)) $root.Values.backup.storage.existingClaim }}}
    - name: work
      emptyDir: {sizeLimit: 1Mi}
{{- end }}
