#!/bin/bash
# test/run.sh itself, in a small tree of its own below a path with a blank: names choose what runs
# and what that needs built; a name that chooses nothing is an error; an interruption ends what runs;
# what cannot be logged is no success.
. "$(dirname "$0")/../lib.sh"
scenario_cleanup() { mountpoint -q "$TMP/ro" && umount "$TMP/ro"; }
tree="$TMP/a tree"
mkdir -p "$tree/test/e2e/some" "$tree/deploy" "$tree/build"
cp "$ROOT/test/run.sh" "$tree/test/"
printf '#!/bin/sh\nexit 0\n' >"$tree/deploy/install-deps.sh"
printf 'all:\n\t@echo "$(TLS)$(SAN)" >>built; [ ! -e broken ]\ncheck lint fuzz: all\n' >"$tree/Makefile"
printf '#!/bin/bash\n[ -n "$FSM_BIN" ] && [ -d "${FSM_BIN%%/build/*}" ] && echo "at work"\n' >"$tree/test/e2e/some/passes.sh"
cat >"$tree/test/e2e/some/stays.sh" <<'S'
trap 'sleep 0.5; echo cleaned up >>"$(dirname "$0")/cleaned"; exit 130' TERM
echo $$ >"$(dirname "$0")/pid"
sleep 77.5 &
wait
S
mkdir "$tree/test/e2e/permissive"
cp "$tree/test/e2e/some/passes.sh" "$tree/test/e2e/permissive/http2.sh"
chmod -R u+x "$tree"
run() { (cd "$tree" && rm -f built && CI= test/run.sh "$@" >"$TMP/out" 2>&1); }
last() { tail -n 1 "$TMP/out"; }
run passes || fail "one scenario: $(cat "$TMP/out")"
expect_eq "one scenario" "$(last)" "2 passed, 0 failed, 0 skipped"
expect_eq "what is built for it" "$(tr '\n' ' ' <"$tree/built")" " "
run http2 || fail "a scenario of two variants: $(cat "$TMP/out")"
expect_match "the other variant is built too" "$(tr '\n' ' ' <"$tree/built")" openssl
expect_eq "both" "$(last)" "4 passed, 0 failed, 0 skipped"
run nosuchname && fail "a name that chooses nothing passes"
expect_match "what is said" "$(cat "$TMP/out")" "nothing here is called nosuchname"
run passes permisive && fail "one of two names chooses nothing and it passes"
expect_match "a near one" "$(cat "$TMP/out")" "perhaps e2e/permissive/http2"
touch "$tree/broken"
run passes && fail "a build that fails passes"
rm "$tree/broken"
# who does not run on a cluster says why
silent=$(cd "$ROOT/test/e2e" && grep -LE '^# places: local( kubernetes$|, .)' {change,faults,permissive,security}/*.sh)
expect_eq "scenarios that do not say where they run" "$silent" ""
# an interruption, as from the terminal
(cd "$tree" && exec setsid test/run.sh stays >"$TMP/out" 2>&1) &
begun() { [ -s "$tree/test/e2e/some/pid" ]; }
until_ok 20 begun || fail "the scenario does not start: $(cat "$TMP/out")"
runner=$(pgrep -fo "bash test/run.sh stays")
# meanwhile another one in this tree is refused
run passes && fail "two at once in one tree"
expect_match "two at once" "$(cat "$TMP/out")" "another one is under way"
kill -TERM "$runner"
wait $!
expect_eq "what it had to clean up" "$(cat "$tree/test/e2e/some/cleaned" 2>&1)" "cleaned up"
pgrep -f 'sleep 77[.]5' >/dev/null && fail "what ran goes on"
# a tree that cannot be written: the last run's results are not this one's
mkdir "$TMP/ro"
mount --bind "$tree" "$TMP/ro" && mount -o remount,bind,ro "$TMP/ro" || fail "mount"
(cd "$TMP/ro" && test/run.sh passes >"$TMP/out" 2>&1) && fail "in a read-only tree: $(cat "$TMP/out")"
expect_match "a read-only tree" "$(cat "$TMP/out")" "cannot be written"
done_ok
