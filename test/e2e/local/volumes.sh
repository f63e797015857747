#!/bin/bash
# volumes: emptyDir (shared, in memory), ConfigMap and Secret (whole, items, modes, changed while
# in use), projected with a service-account token, downward API, hostPath, subPath, read-only; and
# the environment from the same sources.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller
mkdir -p "$TMP/host/dir"
echo from-the-machine >"$TMP/host/file"
apply <<YAML
apiVersion: v1
kind: ConfigMap
metadata: {name: cfg}
data: {color: blue, "app.conf": "line 1\nline 2\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: sec}
stringData: {plain: "p w"}
data: {coded: $(printf 's3cret' | base64)}
---
apiVersion: v1
kind: Pod
metadata:
  name: pod
  labels: {app: vol}
  annotations: {note: "some \"text\""}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {fsGroup: 4242}
  volumes:
  - {name: shared, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: cfg, configMap: {name: cfg}}
  - {name: one, configMap: {name: cfg, defaultMode: 0400, items: [{key: color, path: deep/er/color}]}}
  - {name: maybe, configMap: {name: nosuch, optional: true}}
  - {name: sec, secret: {secretName: sec}}
  - name: all
    projected:
      sources:
      - serviceAccountToken: {path: token, audience: fsm, expirationSeconds: 600}
      - configMap: {name: cfg, items: [{key: color, path: c}]}
      - secret: {name: sec, items: [{key: coded, path: s}]}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: name, fieldRef: {fieldPath: metadata.name}}]}
  - {name: host, hostPath: {path: $TMP/host, type: Directory}}
  - {name: made, hostPath: {path: $TMP/host/made, type: DirectoryOrCreate}}
  initContainers:
  - name: init
    image: "debian:12"
    command: [sh, -c, "echo from-init >/shared/init; mkdir -p /shared/sub; echo sub >/shared/sub/f; ln -s /etc /shared/out"]
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: main
    image: "debian:12"
    command: [sleep, "1000"]
    env:
    - {name: LITERAL, value: "a \$(COLOR) \$\$(COLOR) \$(NOSUCH)"}
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: cfg, key: color}}}
    - {name: AFTER, value: "\$(COLOR)!"}
    - {name: SECRET, valueFrom: {secretKeyRef: {name: sec, key: coded}}}
    - {name: MAYBE, valueFrom: {configMapKeyRef: {name: cfg, key: nosuch, optional: true}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
    - {name: SA, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    envFrom: [{prefix: P_, secretRef: {name: sec}}]
    volumeMounts:
    - {name: shared, mountPath: /shared}
    - {name: shared, mountPath: /readonly, readOnly: true}
    - {name: shared, mountPath: /sub, subPath: sub}
    - {name: shared, mountPath: /new, subPath: not/there/yet}
    - {name: memory, mountPath: /memory}
    - {name: cfg, mountPath: /etc/cfg}
    - {name: cfg, mountPath: /etc/one.conf, subPath: app.conf}
    - {name: one, mountPath: /one}
    - {name: maybe, mountPath: /maybe}
    - {name: sec, mountPath: /sec}
    - {name: all, mountPath: /var/run/secrets/all}
    - {name: host, mountPath: /host}
    - {name: made, mountPath: /made}
  - name: other
    image: "debian:12"
    command: [sleep, "1000"]
    volumeMounts: [{name: shared, mountPath: /shared}]
---
apiVersion: v1
kind: Pod
metadata: {name: waits}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: c, configMap: {name: comes-later}}]
  containers: [{name: main, image: "debian:12", command: [sleep, "1000"], volumeMounts: [{name: c, mountPath: /c}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: escapes}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: e, emptyDir: {}}]
  initContainers: [{name: i, image: "debian:12", command: [ln, -s, /etc, /e/out], volumeMounts: [{name: e, mountPath: /e}]}]
  containers: [{name: main, image: "debian:12", command: [sleep, "1000"], volumeMounts: [{name: e, mountPath: /x, subPath: out}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: makes}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: e, emptyDir: {}}]
  initContainers: [{name: i, image: "debian:12", command: [ln, -s, "$TMP/host", /e/out], volumeMounts: [{name: e, mountPath: /e}]}]
  containers: [{name: main, image: "debian:12", command: [sleep, "1000"], volumeMounts: [{name: e, mountPath: /x, subPath: out/escaped/dir}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: dots}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: e, emptyDir: {}}, {name: cfg, configMap: {name: cfg}}]
  containers:
  - name: main
    image: "debian:12"
    command: [sleep, "1000"]
    volumeMounts:
    - {name: e, mountPath: "/x/../..$TMP/dots/dir"}
    - {name: cfg, mountPath: "/x/../..$TMP/dots/file", subPath: color}
    - {name: cfg, mountPath: /etc/os-release, subPath: color}
---
apiVersion: v1
kind: Pod
metadata: {name: stays}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: e, emptyDir: {}}]
  initContainers: [{name: i, image: "debian:12", command: [sh, -c, "mkdir -p /e/a && ln -s a /e/link"], volumeMounts: [{name: e, mountPath: /e}]}]
  containers: [{name: main, image: "debian:12", command: [sleep, "1000"], securityContext: {runAsUser: 1234}, volumeMounts: [{name: e, mountPath: /x, subPath: link/b/c}, {name: e, mountPath: /e}]}]
YAML
wait_ready default pod/pod
sh_() { in_pod default pod sh -c "$1"; }
expect_eq "emptyDir from init" "$(sh_ 'cat /shared/init')" from-init
sh_ 'echo hello >/shared/x'
expect_eq "emptyDir in the other container" "$(fsml exec pod -c other -- cat /shared/x)" hello
sh_ 'echo no >/readonly/x' 2>/dev/null && fail "a read-only mount was written to"
expect_eq "read-only mount" "$(sh_ 'cat /readonly/x')" hello
expect_eq "subPath" "$(sh_ 'cat /sub/f')" sub
expect_eq "subPath that was made" "$(sh_ 'ls -d /new /shared/not/there/yet' | wc -l)" 2
expect_eq "memory" "$(sh_ 'stat -f -c %T /memory')" tmpfs
expect_eq "fsGroup" "$(sh_ 'stat -c %g /shared')" 4242
expect_eq "ConfigMap" "$(sh_ 'cat /etc/cfg/app.conf')" "$(printf 'line 1\nline 2')"
expect_eq "ConfigMap by subPath" "$(sh_ 'tail -n 1 /etc/one.conf')" "line 2"
expect_eq "items and modes" "$(sh_ 'cat /one/deep/er/color; stat -Lc %a /one/deep/er/color; ls /one')" "$(printf 'blue440\ndeep')"
expect_eq "optional" "$(sh_ 'ls /maybe')" ""
expect_eq "Secret" "$(sh_ 'cat /sec/plain /sec/coded')" "p ws3cret"
expect_eq "projected" "$(sh_ 'cd /var/run/secrets/all; cat c; cat s; cat name')" "blues3cretpod"
expect_match "labels" "$(sh_ 'cat /var/run/secrets/all/labels')" 'app="vol"'
expect_match "token" "$(sh_ 'cut -d. -f2 /var/run/secrets/all/token | tr _- /+ | base64 -d 2>/dev/null')" '"aud":\["fsm"\]'
expect_eq "hostPath" "$(sh_ 'cat /host/file; echo written >/host/back')" from-the-machine
expect_eq "hostPath, from the machine" "$(cat "$TMP/host/back")" written
[ -d "$TMP/host/made" ] || fail "DirectoryOrCreate did not"
expect_eq "environment" "$(sh_ 'echo "$LITERAL|$AFTER|$SECRET|${MAYBE-unset}|$NAME|$NS|$SA|$LABEL|$P_plain|$P_coded"')" \
    'a $(COLOR) $(COLOR) $(NOSUCH)|blue!|s3cret|unset|pod|default|default|vol|p w|s3cret'
expect_eq "status.podIP" "$(sh_ 'echo $IP')" "$(pod_ip default pod)"
expect_eq "status.podIPs" "$(sh_ 'echo $IPS')" "$(fsml get pod pod -o 'jsonpath={.status.podIPs[*].ip}' | tr ' ' ,)"
# what changes in a ConfigMap changes in the volume, all at once
fsml patch configmap cfg -p '{"data":{"color":"green","more":"x"}}' --type=merge >/dev/null
green() { [ "$(sh_ 'cat /etc/cfg/color /etc/cfg/more')" = greenx ]; }
until_ok 5 green || fail "a changed ConfigMap: $(sh_ 'cat /etc/cfg/*')"
fsml patch configmap cfg -p '{"data":{"more":null}}' --type=merge >/dev/null
less() { [ -z "$(sh_ 'ls /etc/cfg | grep more')" ]; }
until_ok 5 less || fail "a key that is gone is still a file"
# a pod waits for what it mounts; a subPath does not lead out of its volume
expect_match "a ConfigMap that is not there" "$(fsml get events)" 'ConfigMap "comes-later" not found'
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: comes-later}\ndata: {a: b}\n' | apply
wait_ready default pod/waits
expect_match "a link out of the volume" "$(fsml get events)" 'leads out of the volume'
told() { fsml get events | grep -q "makes.*leads out of the volume"; }
until_ok 10 told || fail "a link out of the volume, to be made: $(fsml get events)"
[ ! -e "$TMP/host/escaped" ] || fail "a subPath made a directory of the machine"
# a mount point that goes through "..", itself or by a link of the machine's, is the container's
wait_ready default pod/dots
[ ! -e "$TMP/dots" ] || fail "a mount point was made on the machine: $(find "$TMP/dots")"
expect_eq "a mount point with .." "$(in_pod default dots cat "$TMP/dots/file")" blue
expect_eq "a volume on a relative link" "$(in_pod default dots cat /etc/os-release)" blue
in_pod default dots touch "$TMP/dots/dir/f" || fail "a volume at a path with .."
# a link inside the volume is none, and what is made has the volume's mode
wait_ready default pod/stays
in_pod default stays sh -c 'touch /x/f' || fail "a user cannot write to a subPath that was made for it"
expect_eq "a link that stays inside" "$(in_pod default stays ls /e/a/b/c)" f
# files of the machine that a container changes stay as they are
sh_ 'echo changed >/etc/hostname.mine; rm -f /etc/debian_version'
[ -e /etc/debian_version ] && [ ! -e /etc/hostname.mine ] || fail "a container changed the machine's files"
done_ok
