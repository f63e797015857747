#!/bin/bash
# deploy/demo.sh shows what it promises, twice and also over a mesh that --keep left; when a step
# fails it says what the mesh says; and each time everything is gone afterwards.
. "$(dirname "$0")/../lib.sh"
export FSM_DEMO_NAME=$MESH
scenario_cleanup() { "$FSM" local down --name "$MESH" >/dev/null 2>&1; }
# the show over another set of programs or manifests: a tree of links
tree=$TMP/tree
mkdir -p "$tree/deploy/demo" "$tree/build"
for f in "$ROOT"/* "$ROOT/.git"; do
    case ${f##*/} in deploy | build) ;; *) ln -s "$f" "$tree/" ;; esac
done
ln -s "$ROOT"/deploy/* "$tree/deploy/" 2>/dev/null
rm -f "$tree/deploy/demo.sh"
cp "$ROOT/deploy/demo.sh" "$tree/deploy/"
cp "$ROOT"/deploy/demo/* "$tree/deploy/demo/"
ln -s "$FSM_BIN" "$tree/build/bin"
# what is built is built: the programs under test are those of this scenario
mkdir "$TMP/bin"
printf '#!/bin/sh\nexit 0\n' >"$TMP/bin/make"
chmod +x "$TMP/bin/make"
PATH=$TMP/bin:$PATH
show() { timeout 120 bash "$tree/deploy/demo.sh" "$@" >"$TMP/out" 2>&1; }
gone() {
    [ ! -e "/run/fsm/local/$MESH" ] || fail "$1: the state directory is still there"
    "$FSM" local status --name "$MESH" >/dev/null 2>&1 && fail "$1: the mesh is up"
    grep -lsz "^FSM_LOCAL_INSTANCE=$MESH\$" /proc/[0-9]*/environ >"$TMP/left" && fail "$1: processes: $(cat "$TMP/left")"
}
show --keep || fail "the show: $(tail -n 20 "$TMP/out")"
"$FSM" local status --name "$MESH" >/dev/null || fail "--keep did not keep the mesh"
# after --keep, and with the PATH that su leaves
show() { PATH=$TMP/bin:/usr/local/bin:/usr/bin:/bin:/usr/games timeout 120 bash "$tree/deploy/demo.sh" "$@" >"$TMP/out" 2>&1; }
show || fail "the show after --keep: $(tail -n 20 "$TMP/out")"
for what in 'HTTP/1.1 200' 'X-Forwarded-\|Serviceidentity' 'spiffe://cluster.local/ns/curl/sa/' \
    'spiffe://cluster.local/ns/httpbin/sa/' '"TrafficMatches"' 'demo: [0-9.]* s'; do
    grep -q -- "$what" "$TMP/out" || fail "the show lacks $what: $(cat "$TMP/out")"
done
gone "after the show"
(cd "$tree/deploy" && ./demo.sh --help) | grep -q 'sudo deploy/demo.sh' || fail "no help from its own directory"
show --keep extra && fail "an unknown argument"
# a step that fails inside a function
printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: broken, namespace: curl}\nspec: {containers: 1}\n' >"$tree/deploy/demo/broken.yaml"
show && fail "a broken manifest: rc 0"
grep -q 'broken.yaml' "$TMP/out" || fail "the reason is not told: $(tail -n 20 "$TMP/out")"
grep -q 'what the mesh says' "$TMP/out" || fail "the mesh's word is missing: $(tail -n 20 "$TMP/out")"
gone "after a failed step"
# and one that is interrupted
rm "$tree/deploy/demo/broken.yaml"
show &
until_ok 30 "$FSM" local get namespace curl --name "$MESH" || fail "the mesh of the demo did not come up"
kill -TERM "$(pgrep -f "bash $tree/deploy/demo.sh" | tail -n 1)"
wait
gone "after an interruption"
done_ok
