#!/bin/bash
# kubectl's conventions: apply (create, configure, unchanged, three-way), patch, label, annotate,
# get in every form, selectors, exec, logs, errors that say what to do, exit statuses, completion.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller
manifest() { printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {a: x}}\ndata: %s\n' "$1"; }
run() { "$@" 2>&1; }
expect_eq "create" "$(manifest '{a: "1", b: "2"}' | run fsml apply -f -)" "configmap/c created"
expect_eq "again" "$(manifest '{a: "1", b: "2"}' | run fsml apply -f -)" "configmap/c unchanged"
fsml patch configmap c -p '{"data":{"other":"kept"}}' --type=merge >/dev/null
expect_eq "change" "$(manifest '{a: "3"}' | run fsml apply -f -)" "configmap/c configured"
expect_eq "three-way" "$(fsml get cm c -o 'jsonpath={.data}')" '{"a":"3","other":"kept"}'
expect_eq "patch" "$(run fsml patch configmap c -p 'data: {a: "4"}' --type=merge)" "configmap/c patched"
expect_eq "patch again" "$(run fsml patch configmap c -p '{"data":{"a":"4"}}' --type=merge)" "configmap/c patched (no change)"
expect_eq "JSON patch" "$(run fsml patch configmap c --type=json -p '[{"op":"replace","path":"/data/a","value":"5"}]')" "configmap/c patched"
expect_eq "the outcome" "$(fsml get configmap/c -o 'jsonpath={.data.a}')" 5
expect_eq "label" "$(run fsml label cm c tier=front)" "configmap/c labeled"
expect_match "label again" "$(run fsml label cm c tier=back)" "already has a value"
expect_eq "label, overwritten" "$(run fsml label cm c tier=back --overwrite)" "configmap/c labeled"
expect_eq "label removed" "$(run fsml label cm c tier-; fsml get cm c -o 'jsonpath={.metadata.labels}')" "$(printf 'configmap/c labeled\n{"a":"x"}')"
expect_eq "annotate" "$(run fsml annotate cm c flomesh.io/outbound-port-exclusion-list=6379,7070)" "configmap/c annotated"
expect_eq "the annotation" "$(fsml get cm c -o "jsonpath={.metadata.annotations['flomesh.io/outbound-port-exclusion-list']}")" 6379,7070
# a patch does not make another object of one
bad() { # STATUS REGEX COMMAND...
    local want=$1 re=$2 got out
    shift 2
    out=$("$@" 2>&1)
    got=$?
    expect_eq "status of $*" "$got" "$want"
    expect_match "$*" "$out" "$re"
}
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\ndata: {a: d}\n' | apply
bad 1 'metadata.name: got "d", expected "c"' fsml patch cm c --type=merge -p '{"metadata":{"name":"d"}}'
bad 1 'metadata.namespace: got "kube-system"' fsml patch cm c --type=merge -p '{"metadata":{"namespace":"kube-system"}}'
bad 1 'metadata.name: got ""' fsml patch cm c --type=merge -p '{"metadata":null}'
bad 1 'kind: got "Secret"' fsml patch cm c --type=json -p '[{"op":"replace","path":"/kind","value":"Secret"}]'
bad 1 'apiVersion: got "v2"' fsml patch cm c --type=merge -p '{"apiVersion":"v2"}'
expect_eq "the other object" "$(fsml get cm d -o 'jsonpath={.data.a}')" d
fsml delete cm d >/dev/null
# get
for i in 1 2 3; do printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: l%d, labels: {num: "%d", odd: "%s"}}\n' $i $i "$((i % 2))" | apply; done
names() { fsml get cm "$@" -o name 2>/dev/null | tr '\n' ' '; }
expect_eq "-l key=value" "$(names -l num=2)" "configmap/l2 "
expect_eq "-l key!=value" "$(names -l 'num,num!=2')" "configmap/l1 configmap/l3 "
expect_eq "-l in" "$(names -l 'num in (1, 2),odd=1')" "configmap/l1 "
expect_eq "-l notin" "$(names -l 'num notin (1,2),num')" "configmap/l3 "
expect_eq "-l !key" "$(names -l '!num')" "configmap/c "
expect_eq "several" "$(fsml get cm/l1 ns/default -o name | tr '\n' ' ')" "configmap/l1 namespace/default "
expect_eq "json" "$(fsml get cm l1 -o json | jq -r .metadata.name)" l1
expect_eq "a list" "$(fsml get cm -o json | jq -r .kind)" List
expect_eq "yaml" "$(fsml get cm l1 -o yaml | $PY -c 'import sys, yaml; print(yaml.safe_load(sys.stdin)["metadata"]["name"])')" l1
expect_match "table" "$(fsml get cm)" '^NAME +DATA +AGE'
expect_eq "jsonpath" "$(fsml get cm -o 'jsonpath={.items[*].metadata.name}{"\n"}')" "c l1 l2 l3"
expect_match "nothing there" "$(run fsml get pods)" "No resources found in default namespace."
# what is wrong is said, with what to do, and with a status
bad 1 'configmaps "nosuch" not found' fsml get cm nosuch
bad 2 'did you mean pods' fsml get podz
bad 2 "did you mean 'fsm local get'" "$FSM" local gte
bad 2 'did you mean --name' "$FSM" local get pods --nmae x
bad 2 'expected table, wide, json' fsml get cm -o xml
bad 1 'not found' fsml delete cm nosuch
bad 0 '' fsml delete cm nosuch --ignore-not-found
bad 1 'no fsm local instance "nosuch" is up here.*fsm local up --name nosuch' "$FSM" local get pods --name nosuch
bad 1 'namespaces "nosuch" not found' sh -c "printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: nosuch}\n' | '$FSM' local apply --name $MESH -f -"
bad 1 'is up already' fsml up
bad 1 'belongs to the instance' fsml delete namespace default
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: wrong}\nspec: {ports: [{port: http}]}\n' >"$TMP/half.yaml"
bad 1 "half.yaml:[0-9]+: Service default/wrong: spec.ports\[0\].port" fsml apply -f "$TMP/half.yaml"
expect_eq "the good half" "$(names -l '!num')" "configmap/c configmap/good "
# a machine is one machine
bad 1 'spec.replicas: got 2147483647, expected at most 10000' sh -c "printf 'apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: many}\nspec: {replicas: 2147483647, serviceName: x, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: m, image: x, command: [sleep]}]}}}\n' | '$FSM' local apply --name $MESH -f -"
# names as long as Kubernetes allows are kept, and files of the controller's too
long=$(printf '%060d.%060d.%060d.%060d' 1 2 3 4)
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "%s"}\ndata: {a: b}\n' "$long" | apply
expect_eq "a long name" "$(grep -l "$long" "/run/fsm/local/$MESH"/resources/* | wc -l)" 1
fsml delete cm "$long" >/dev/null
expect_eq "a long name that is gone" "$(grep -l "$long" "/run/fsm/local/$MESH"/resources/* | wc -l)" 0
# what cannot be written is told, and written as soon as it can be
until_ok 5 fsml status >/dev/null || fail "status: $(fsml status)"
mkdir "/run/fsm/local/$MESH/resources/ConfigMap.default.blocked.yaml"
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: blocked}\ndata: {a: b}\n' | apply
bad 1 'ConfigMap default/blocked: .*cannot write' fsml status
rmdir "/run/fsm/local/$MESH/resources/ConfigMap.default.blocked.yaml"
until_ok 5 fsml status || fail "what could not be written is not written later: $(fsml status)"
grep -q 'name: blocked' "/run/fsm/local/$MESH/resources/ConfigMap.default.blocked.yaml" || fail "it is not there"
fsml delete cm blocked >/dev/null
# real manifests: an empty namespace, a typed list whose items do not say what they are, a pipe beside them
mkdir "$TMP/quirks"
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: ""}\n---\napiVersion: v1\nkind: ConfigMapList\nitems: [{metadata: {name: three}}]\n' >"$TMP/quirks/q.yaml"
mkfifo "$TMP/quirks/pipe.yaml"
expect_eq "apply" "$(timeout 20 "$FSM" local apply --name "$MESH" -f "$TMP/quirks" | tr '\n' ' ')" "configmap/one created configmap/two created configmap/three created "
expect_eq "delete" "$(timeout 20 "$FSM" local delete --name "$MESH" -f "$TMP/quirks" | wc -l)" 3
# a pod: exec, logs, its spec stays
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: one, image: "debian:12", command: [sh, -c, "echo out; echo err >&2; sleep 0.2; seq 1 5; exec sleep 1000"]}
  - {name: two, image: "debian:12", command: [sleep, "1000"]}
YAML
wait_ready default pod/p
all_said() { [ "$(fsml logs p | wc -l)" = 7 ]; }
until_ok 5 all_said || fail "logs: $(fsml logs p)"
expect_eq "logs" "$(fsml logs p | sort | tr '\n' ' ')" "1 2 3 4 5 err out "
expect_eq "logs --tail" "$(fsml logs p --tail 2 | tr '\n' ' ')" "4 5 "
expect_match "logs --timestamps" "$(fsml logs p --tail 1 --timestamps)" '^20[0-9-]+T[0-9:.]+Z 5$'
timeout 2 "$FSM" local logs --name "$MESH" p -f >"$TMP/follow" &
sleep 0.2
fsml exec p -- sh -c 'echo later >/proc/2/fd/1'
wait
expect_match "logs -f" "$(tail -n 1 "$TMP/follow")" later
expect_eq "exec" "$(fsml exec p -- echo hi)" hi
expect_eq "exec -c" "$(fsml exec p -c two -- sh -c 'cat /proc/2/cmdline | tr "\0" " "')" "sleep 1000 "
expect_eq "exec -i" "$(echo in | fsml exec -i p -- cat)" in
expect_eq "exec -t" "$(script -qec "$FSM local exec --name $MESH -t p -- sh -c 'tty; exit 5'" /dev/null </dev/null | tr -d '\r\004^@D' | tail -n 1)" /dev/pts/0
# a delete that does not come to its end in time has not succeeded
printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: deaf}\nspec: {terminationGracePeriodSeconds: 4, containers: [{name: m, image: x, command: [sh, -c, "trap : TERM; while :; do sleep 0.05; done"]}]}\n' | apply
wait_ready default pod/deaf
bad 1 'Pod "deaf" is still there' fsml delete pod deaf --timeout 500ms
bad 1 'timed out waiting for pod/deaf to be delete' fsml wait pod/deaf --for=delete --timeout 500ms
bad 0 'deaf' fsml delete pod deaf --timeout 1000h --grace-period 0
# what comes back at once under the same name is another object
t=$(now_ms)
bad 0 'serviceaccount/default deleted' fsml delete sa default --timeout 20s
[ $(($(now_ms) - t)) -lt 5000 ] || fail "deleting what is made anew took $(($(now_ms) - t)) ms"
# what cannot be printed has not succeeded
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: full}\n' >"$TMP/full.yaml"
for command in 'local get pods' 'local status' 'local logs p' "local apply -f $TMP/full.yaml" 'namespace list --local' \
    "validate -f $TMP/full.yaml" version 'completion bash' --help 'local --help' 'local get --help'; do
    case $command in
    local\ *--help) ;;
    local*) command="local ${command#local } --name $MESH" ;;
    *--local) command="$command $MESH" ;;
    esac
    # shellcheck disable=SC2086
    "$FSM" $command >/dev/full 2>"$TMP/err" && fail "fsm $command to a full disk: status 0"
    grep -q 'could not be written' "$TMP/err" || fail "fsm $command to a full disk: $(cat "$TMP/err")"
    # shellcheck disable=SC2086
    "$FSM" $command >&- 2>"$TMP/err" && fail "fsm $command to a closed output: status 0"
done
bad 7 '' fsml exec p -- sh -c 'exit 7'
bad 127 'no such file' fsml exec p -- no-such-command
expect_eq "exec with bytes that are no UTF-8" "$(fsml exec p -- printf '[%s]' a $'\xe4' b | od -An -tx1 | tr -d ' \n')" 5b615d5be45d5b625d
bad 1 'container "three" is not in pod "p"' fsml exec p -c three -- true
bad 1 'cannot be changed' sh -c "printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: one, image: other, command: [sleep]}]}\n' | '$FSM' local apply --name $MESH -f -"
long=$(printf 'a%.0s' $(seq 1 63)).$(printf 'b%.0s' $(seq 1 63)).$(printf 'c%.0s' $(seq 1 63)).d
printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {terminationGracePeriodSeconds: 1, containers: [{name: m, image: x, command: [sh, -c, "echo out; exec sleep 1000"]}]}\n' "$long" | apply
wait_ready default "pod/$long"
expect_eq "logs of a pod with a long name" "$(fsml logs "$long")" out
fsml delete pod "$long" >/dev/null
bad 1 'image "no/such:1" is not in the image map' sh -c "
    printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: q}\nspec: {terminationGracePeriodSeconds: 1, containers: [{name: m, image: no/such:1}]}\n' | '$FSM' local apply --name $MESH -f - >/dev/null
    sleep 0.5; '$FSM' local get events --name $MESH >&2; exit 1"
bad 2 'cannot read' fsml get cm -o 'jsonpath={range .items[*]}{.metadata.name}{end}'
bad 2 'no closing brace' fsml get cm l1 -o 'jsonpath={.metadata'
expect_eq "a namespace and its pod in one manifest" "$(printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: quick}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: quick}\nspec: {terminationGracePeriodSeconds: 1, shareProcessNamespace: true, containers: [{name: m, image: x, command: [sleep, infinity]}]}\n' | fsml apply -f - | tr '\n' ' ')" "namespace/quick created pod/p created "
expect_match "a field without effect" "$(fsml get events -n quick)" 'FieldIgnored .*spec.shareProcessNamespace has no effect'
# two Deployments whose sets would have one name
long=$(printf 'd%.0s' $(seq 1 52))
for n in a b; do
    printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s, namespace: quick}\nspec: {selector: {matchLabels: {app: long}}, template: {metadata: {labels: {app: long}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: m, image: x, command: [sleep, infinity]}]}}}\n' "$long$n" | apply
done
fsml wait -n quick "deployment/${long}a" "deployment/${long}b" --for=ready --timeout 20s >/dev/null || fail "two Deployments with names that begin alike"
# nothing that is printed commands the terminal
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: esc, labels: {}, annotations: {a: "\\e]0;title\\a\\nrow"}}\n' | apply
fsml get cm esc -o yaml >/dev/null
bad 1 "'fsm local down --name $MESH' ends it" "$FSM" local up --name "$MESH"
# -V anywhere
for command in '' local namespace proxy mesh 'local get' version validate; do
    # shellcheck disable=SC2086
    bad 0 '^fsm(-| [a-z]+)? ?.*0\.[0-9]+\.[0-9]+ \(' "$FSM" $command -V
done
expect_eq "version as data" "$("$FSM" version -o json | jq -r .version)" "$("$FSM" version | cut -d' ' -f2)"
expect_eq "names of what is no object" "$("$FSM" mesh list --local "$MESH" -o name)" ""
# ranges that no host can have
for range in 127.5.0.0/16 0.1.0.0/16 255.255.255.0/24 224.1.0.0/16; do
    bad 2 '--pod-cidr: .*expected addresses that hosts can have' "$FSM" local up --name "$MESH-r" --pod-cidr $range
done
bad 2 '--service-cidr6' "$FSM" local up --name "$MESH-r" --service-cidr6 ff02::/112
# help and completion come from the same table
for c in up down apply create delete get patch label annotate scale restart wait exec logs status; do
    "$FSM" local $c --help | grep -q '^Usage\|^usage' || fail "no help for fsm local $c"
done
expect_match "help" "$("$FSM" --help)" "namespace"
complete_() { bash -c "source <('$FSM' completion bash); COMP_WORDS=($1); COMP_CWORD=\$((\${#COMP_WORDS[@]} - 1)); _fsm; echo \"\${COMPREPLY[@]}\""; }
expect_eq "complete a command" "$(complete_ 'fsm local an')" annotate
expect_eq "complete a flag" "$(complete_ 'fsm local down --al')" --all
expect_eq "complete a kind" "$(complete_ 'fsm local get statef')" statefulsets
expect_match "complete a raw command's flags" "$(complete_ 'fsm validate --name')" '--namespace'
expect_match "complete a query" "$(complete_ 'fsm proxy get con')" config_dump
expect_eq "complete a format" "$(complete_ 'fsm local get pods -o ya')" yaml
expect_match "complete behind an alias" "$(complete_ 'fsm ns ad')" add
expect_match "complete in zsh" "$("$FSM" completion zsh)" '^#compdef fsm'
done_ok
