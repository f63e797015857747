#!/bin/bash
# the images of fsm's daemons: the same bytes when made twice, nothing in them that a program does not
# need, and each program runs in its image's root, as the image's user
set -uo pipefail
ROOT=$(cd "$(dirname "$0")/../../.." && pwd)
FSM_BIN=${FSM_BIN:-$ROOT/build/bin}
say() { echo "images: $*"; }
fail() {
    say "FAILED: $*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || {
    say "SKIP: needs root (chroot)"
    exit 77
}
TMP=$(mktemp -d /tmp/fsm-images-XXXXXX)
chmod 755 "$TMP"
trap 'rm -rf "$TMP"' EXIT
trap 'exit 130' INT TERM

for turn in one two; do
    "$ROOT/deploy/images" "$FSM_BIN" "$TMP/$turn" example.org/mesh 7 >"$TMP/log" 2>&1 || fail "$(cat "$TMP/log")"
done
diff -rq "$TMP/one" "$TMP/two" || fail "two turns make different bytes"
n=0 total=0
for archive in "$TMP"/one/*.tar; do
    name=$(basename "$archive" .tar)
    dir=$TMP/$name
    mkdir -p "$dir/image" "$dir/root"
    tar -C "$dir/image" -x -f "$archive" || fail "$name: no archive"
    blob() { echo "$dir/image/blobs/sha256/${1#sha256:}"; } # DIGEST
    for file in "$dir"/image/blobs/sha256/*; do
        [ "$(sha256sum <"$file" | cut -d' ' -f1)" = "$(basename "$file")" ] || fail "$name: a blob is not what its name says"
    done
    [ "$(jq -r '.manifests[0].annotations["io.containerd.image.name"]' "$dir/image/index.json")" = "example.org/mesh/$name:7" ] ||
        fail "$name: $(cat "$dir/image/index.json")"
    manifest=$(blob "$(jq -r '.manifests[0].digest' "$dir/image/index.json")")
    config=$(blob "$(jq -r .config.digest "$manifest")")
    tar -C "$dir/root" -x -f "$(blob "$(jq -r '.layers[0].digest' "$manifest")")" || fail "$name: no layer"
    [ "$(jq -r '.rootfs.diff_ids[0]' "$config")" = "$(jq -r '.layers[0].digest' "$manifest")" ] || fail "$name: diff_ids"
    user=$(jq -r .config.User "$config")
    [ "$user" != 0 ] || [ "$name" = fsm-init ] || fail "$name runs as root"
    program=$(jq -r '.config.Entrypoint[0]' "$config")
    chroot --userspec="$user:$user" "$dir/root" "$program" --version | grep -q "^$name " || fail "$name does not run in its image"
    extra=$(find "$dir/root" -type f -not -path '*/lib*/*' -not -path '*/etc/passwd' -not -path '*/etc/group' -printf '/%P\n' | grep -vxF "$program")
    [ "$name" != fsm-init ] || extra=$(grep -vE '^/usr/sbin/ip6?tables-nft-(save|restore)$' <<<"$extra")
    [ -z "$extra" ] || fail "$name: also in its image: $extra"
    total=$((total + $(stat -c %s "$archive")))
    n=$((n + 1))
done
[ $n = 5 ] || fail "$n images, expected 5"
# what fsm-init calls is there: kernel tables of a network of its own
# shellcheck disable=SC2016
unshare --net --mount bash -ec 'mount -t proc proc "$1/proc"; chroot "$1" /usr/local/bin/fsm-init --backend nft' \
    x "$TMP/fsm-init/root" >"$TMP/log" 2>&1 || fail "fsm-init --backend nft: $(cat "$TMP/log")"
say "ok: $n images, $((total / 1048576)) MiB"
