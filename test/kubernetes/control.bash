# control.bash - the control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler
# on the machine "control", the keys and tokens of everybody, and one kubeconfig each.
#
#   control_keys NODES          certificates, tokens, kubeconfigs, below $STATE/keys
#   control_up                  starts it; returns once the API server is ready
#   control_start PROGRAM       starts one of the four
#   api METHOD PATH [CURL OPTIONS...]   a request as the administrator
#
# One CA signs the API server's certificate and the one that it shows to kubelets; everybody else has a
# bearer token.

CONTROL_PROGRAMS='etcd kube-apiserver kube-controller-manager kube-scheduler'

key_pair() { # NAME SUBJECT [EXTENSIONS]: signed by the lab's CA
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" &&
        openssl req -new -key "$1.key" -subj "$2" |
        openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" -extfile <(
            printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n%s\n' "${3:-}"
        ) 2>&1
}
# token USER GROUP: adds a line to tokens.csv and prints the token
token() {
    local token
    token=$(openssl rand -hex 16)
    printf '%s,%s,%s,"%s"\n' "$token" "$1" "$1" "$2" >>tokens.csv
    echo "$token"
}
kubeconfig() { # FILE TOKEN
    cat >"$1" <<YAML
apiVersion: v1
kind: Config
current-context: fsm-lab-$LAB
clusters:
- name: fsm-lab-$LAB
  cluster:
    server: https://$CONTROL:6443
    certificate-authority-data: $(base64 -w0 ca.crt)
users:
- name: fsm-lab-$LAB
  user: {token: $2}
contexts:
- name: fsm-lab-$LAB
  context: {cluster: fsm-lab-$LAB, user: fsm-lab-$LAB}
YAML
}
control_keys() { # NODES
    local i
    mkdir -p "$STATE/keys" && cd "$STATE/keys" || return 1
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=fsm-lab-$LAB" \
        -keyout ca.key -out ca.crt 2>&1 || return 1
    key_pair apiserver /CN=kube-apiserver "subjectAltName=IP:127.0.0.1,IP:$CONTROL,IP:$NET.128.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local" || return 1
    key_pair kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client || return 1
    openssl genrsa -out service-accounts.key 2048 2>&1 || return 1
    openssl rsa -in service-accounts.key -pubout -out service-accounts.pub 2>&1 || return 1
    token admin system:masters >admin.token
    echo "Authorization: Bearer $(cat admin.token)" >admin.header
    kubeconfig admin.kubeconfig "$(cat admin.token)"
    kubeconfig kube-controller-manager.kubeconfig "$(token system:kube-controller-manager '')"
    kubeconfig kube-scheduler.kubeconfig "$(token system:kube-scheduler '')"
    kubeconfig kube-proxy.kubeconfig "$(token system:kube-proxy '')"
    for ((i = 1; i <= $1; i++)); do
        kubeconfig "node$i.kubeconfig" "$(token "system:node:node$i" system:nodes)"
    done
}

control_start() { # PROGRAM
    local keys=/run/lab/state/keys
    case $1 in
    etcd)
        machine_start control etcd etcd --name=lab --data-dir=/var/lib/etcd --unsafe-no-fsync --log-level=warn \
            --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
            --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
            --initial-cluster=lab=http://127.0.0.1:2380
        ;;
    kube-apiserver)
        # webhooks go to endpoints straight, so that they need no kube-proxy here
        machine_start control kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
            --advertise-address="$CONTROL" --secure-port=6443 \
            --tls-cert-file=$keys/apiserver.crt --tls-private-key-file=$keys/apiserver.key --client-ca-file=$keys/ca.crt \
            --token-auth-file=$keys/tokens.csv --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
            --service-account-issuer=https://kubernetes.default.svc.cluster.local \
            --service-account-key-file=$keys/service-accounts.pub --service-account-signing-key-file=$keys/service-accounts.key \
            --service-cluster-ip-range="$(families "$NET.128.0/17" "$NET6:80::/112")" --allow-privileged=true --enable-aggregator-routing=true \
            --kubelet-client-certificate=$keys/kubelet-client.crt --kubelet-client-key=$keys/kubelet-client.key \
            --kubelet-preferred-address-types=InternalIP --profiling=false
        ;;
    kube-controller-manager)
        machine_start control kube-controller-manager kube-controller-manager \
            --kubeconfig=$keys/kube-controller-manager.kubeconfig --leader-elect=false --bind-address=127.0.0.1 \
            --root-ca-file=$keys/ca.crt --service-account-private-key-file=$keys/service-accounts.key \
            --cluster-signing-cert-file=$keys/ca.crt --cluster-signing-key-file=$keys/ca.key \
            --use-service-account-credentials=true --cluster-name="fsm-lab-$LAB" \
            --kube-api-qps=500 --kube-api-burst=1000 --profiling=false
        ;;
    kube-scheduler)
        machine_start control kube-scheduler kube-scheduler --kubeconfig=$keys/kube-scheduler.kubeconfig \
            --leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=500 --kube-api-burst=1000 --profiling=false
        ;;
    *) return 2 ;;
    esac
}
api() { # METHOD PATH [CURL OPTIONS...]
    local method=$1 path=$2
    shift 2
    curl -sS --fail-with-body --noproxy '*' --max-time 10 --cacert "$STATE/keys/ca.crt" -X "$method" \
        -H @"$STATE/keys/admin.header" "https://$CONTROL:6443$path" "$@"
}
api_ready() {
    [ "$(api GET /readyz 2>/dev/null)" = ok ]
}
# waits for a condition as long as a program that it needs lives
await() { # SECONDS MACHINE PROGRAM COMMAND...
    local end=$((SECONDS + $1)) machine=$2 program=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        machine_alive "$machine" "$program" || {
            say "$program on $machine has ended: $(tail -n 3 "$STATE/$machine/$program.log")"
            return 1
        }
        [ $SECONDS -lt $end ] || {
            say "$program on $machine: not ready in time: $*: $(tail -n 3 "$STATE/$machine/$program.log")"
            return 1
        }
        sleep 0.05
    done
}
control_up() {
    local program
    for program in etcd kube-apiserver; do control_start "$program" || return 1; done
    await 120 control kube-apiserver api_ready || return 1
    for program in kube-controller-manager kube-scheduler; do control_start "$program" || return 1; done
    # until it is there no pod can be made
    await 60 control kube-controller-manager api GET /api/v1/namespaces/default/serviceaccounts/default
}
