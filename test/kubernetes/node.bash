# node.bash - a node: containerd, kubelet and kube-proxy on a machine of its own
#
#   node_prepare NUMBER ARCHIVE...   the machine, its links, containerd, the images that every node has
#   node_join NUMBER            kubelet and kube-proxy; needs the API server
#   node_start NUMBER PROGRAM   starts one of the three
#   node_import NUMBER ARCHIVE...    gives it images

NODE_PROGRAMS='containerd kubelet kube-proxy'
PAUSE_IMAGE=fsm-lab/pause:1
DNS_IMAGE=fsm-lab/coredns:1

node_files() { # NUMBER: what the programs are told, below $STATE/node<NUMBER>
    local dir=$STATE/node$1 range6= route6=
    if [ -n "$DUAL" ]; then
        range6=", [{\"subnet\": \"$(node_pods6 "$1")\"}]" route6=', {"dst": "::/0"}'
    fi
    mkdir -p "$dir/cni"
    cat >"$dir/containerd.toml" <<TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "$PAUSE_IMAGE"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
TOML
    # each pod has a link to its node alone: whatever it sends passes the node's rules, also to a
    # neighbour, without the kernel's help for bridges
    cat >"$dir/cni/10-lab.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "lab", "plugins": [
  {"type": "ptp", "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$(node_pods "$1")"}]$range6], "routes": [{"dst": "0.0.0.0/0"}$route6]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
    cat >"$dir/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP/node$1/pods
failCgroupV1: false
failSwapOn: false
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: /run/lab/state/keys/ca.crt}
authorization: {mode: Webhook}
clusterDNS: [$NET.128.10]
clusterDomain: cluster.local
resolvConf: ""
serializeImagePulls: false
# a full disk of this machine is no reason to end the lab's pods
evictionHard: {memory.available: 1Mi, nodefs.available: "0%", imagefs.available: "0%"}
imageGCHighThresholdPercent: 100
oomScoreAdj: 0
kubeAPIQPS: 100
kubeAPIBurst: 200
YAML
    cat >"$dir/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: /run/lab/state/keys/kube-proxy.kubeconfig}
mode: iptables
hostnameOverride: node$1
clusterCIDR: $(families "$NET.64.0/18" "$NET6:40::/60")
metricsBindAddress: 127.0.0.1:10249
oomScoreAdj: 0
iptables: {minSyncPeriod: 100ms}
# the kernel's own numbers stay as they are
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
}
node_start() { # NUMBER PROGRAM
    local dir=/run/lab/state/node$1
    case $2 in
    containerd) machine_start "node$1" containerd containerd --config="$dir/containerd.toml" ;;
    kubelet)
        machine_start "node$1" kubelet kubelet --config="$dir/kubelet.yaml" --hostname-override="node$1" \
            --kubeconfig="/run/lab/state/keys/node$1.kubeconfig" --node-ip="$(families "$(node_address "$1")" "$(node_address6 "$1")")"
        ;;
    kube-proxy) machine_start "node$1" kube-proxy kube-proxy --config="$dir/kube-proxy.yaml" ;;
    *) return 2 ;;
    esac
}
node_import() { # NUMBER ARCHIVE...
    local archive
    for archive in "${@:2}"; do
        machine_run "node$1" ctr -n k8s.io images import - <"$archive" >>"$STATE/node$1/images.log" 2>&1 || return 1
    done
}
node_prepare() { # NUMBER ARCHIVE...
    machine_up "node$1" || return 1
    network_node "$1" || return 1
    node_files "$1" || return 1
    # shellcheck disable=SC2016
    machine_run "node$1" bash -euc 'mkdir -p /etc/cni/net.d; cp "$1"/* /etc/cni/net.d' x "/run/lab/state/node$1/cni" || return 1
    node_start "$1" containerd || return 1
    await 60 "node$1" containerd machine_run "node$1" ctr version || return 1
    node_import "$@"
}
node_join() { # NUMBER
    node_start "$1" kubelet && node_start "$1" kube-proxy
}
node_ready() { # NUMBER
    api GET "/api/v1/nodes/node$1" | jq -e '.status.conditions[] | select(.type == "Ready" and .status == "True")'
}
