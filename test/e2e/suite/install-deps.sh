#!/bin/bash
# deploy/install-deps.sh keeps the servers of new packages from starting only while it installs: also
# when it is interrupted, and what a killed one left goes with the next.
if [ "${INSIDE:-}" != yes ]; then
    INSIDE=yes exec unshare --mount -- bash "$0" "$@"
fi
. "$(dirname "$0")/../lib.sh"
mount -t tmpfs none /usr/sbin || skip "cannot mount a tmpfs"
scenario_cleanup() { umount /usr/sbin; }
policy=/usr/sbin/policy-rc.d
mkdir "$TMP/bin" "$TMP/tmp"
cat >"$TMP/bin/apt-get" <<S
#!/bin/sh
cat $policy >$TMP/seen 2>/dev/null
[ -e $TMP/stays ] && exec sleep 66.6
touch $TMP/installed
exit 0
S
cat >"$TMP/bin/dpkg-query" <<S
#!/bin/sh
[ -e $TMP/installed ] && for package; do echo "ii \$package"; done
S
chmod +x "$TMP/bin/apt-get" "$TMP/bin/dpkg-query"
install() { TMPDIR=$TMP/tmp PATH=$TMP/bin:$PATH setsid sh "$ROOT/deploy/install-deps.sh" >"$TMP/out" 2>&1; }
nothing() {
    [ ! -e $policy ] || fail "$1: $policy stays"
    [ -z "$(ls "$TMP/tmp")" ] || fail "$1: $(ls "$TMP/tmp") stays"
}
install || fail "$(cat "$TMP/out")"
expect_match "what is said while it installs" "$(cat "$TMP/seen")" "exit 101"
nothing "after a whole run"
begin() {
    rm -f "$TMP/installed" "$TMP/seen"
    touch "$TMP/stays"
    install &
    waits() { pgrep -f 'sleep 66[.]6' >/dev/null && [ -s "$TMP/seen" ]; }
    until_ok 10 waits || fail "it does not begin: $(cat "$TMP/out")"
    group=$(pgrep -f "sh $ROOT/deploy/install-deps.sh" | head -n 1)
}
for sig in INT TERM HUP; do
    begin
    kill -$sig -- "-$group"
    wait $!
    nothing "after $sig"
done
begin
kill -KILL -- "-$group"
wait $! 2>/dev/null
[ -e $policy ] || fail "a killed one cannot clean up, and did"
rm -f "$TMP/stays"
touch "$TMP/installed"
install || fail "nothing to install: $(cat "$TMP/out")"
[ ! -e $policy ] || fail "what a killed one left stays"
# somebody's own is nobody's business
echo '#!/bin/sh' >$policy
rm -f "$TMP/installed"
install || fail "beside somebody's own: $(cat "$TMP/out")"
expect_eq "somebody's own" "$(cat $policy)" '#!/bin/sh'
done_ok
