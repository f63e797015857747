#!/bin/sh
# Installs what fsm needs on Debian 12.  Idempotent; asks nothing.
#   deploy/install-deps.sh           to build and run (compiler, libraries, runtime tools)
#   deploy/install-deps.sh demo      and the demo's client and server
#   deploy/install-deps.sh test      and everything that the tests use as real peers
#   deploy/install-deps.sh bench     and the proxies to compare with
#   deploy/install-deps.sh kubernetes   to build, and what test/kubernetes/lab makes a cluster of
#   deploy/install-deps.sh --list [SET]   prints the packages and installs nothing
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # apt's helpers are there, whatever su left

build='gcc make pkg-config libc6-dev git ca-certificates
 libevent-dev libnghttp2-dev libmbedtls-dev libssl-dev libjansson-dev libyaml-dev
 libcurl4-openssl-dev libc-ares-dev libpcre2-dev liblz4-dev libiptc-dev
 iptables nftables iproute2 dnsmasq-base procps'
demo='curl openssl gunicorn python3-gunicorn python3-gevent python3-httpbin'
test="$demo clang clang-format libclang-rt-14-dev llvm-14 check valgrind
 nginx-light nghttp2 python3-grpcio python3-protobuf python3-websockets python3-aiosmtpd
 netcat-openbsd socat tcpdump jq python3-yaml psmisc strace man-db xz-utils faketime systemd"
kubernetes='curl openssl jq containerd runc containernetworking-plugins conntrack ethtool socat busybox-static python3-pip'
bench="$test haproxy libnginx-mod-stream python3-pip"

list_only=
if [ "${1:-}" = --list ]; then
    list_only=1
    shift
fi
case "${1:-build}" in
build) want="$build" ;;
demo) want="$build $demo" ;;
test) want="$build $test" ;;
kubernetes) want="$build $kubernetes" ;;
bench) want="$build $bench" ;;
*)
    echo "install-deps.sh: unknown set '$1': expected build, demo, test, kubernetes or bench" >&2
    exit 2
    ;;
esac

if [ -n "$list_only" ]; then
    # shellcheck disable=SC2086
    printf '%s\n' $want
    exit 0
fi

# one question for all of them: a question takes as long as many
# shellcheck disable=SC2016,SC2086
have=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $want 2>/dev/null || true)
missing=
for p in $want; do
    case "
$have
" in
    *"
ii $p
"*) ;;
    *) missing="$missing $p" ;;
    esac
done
policy=/usr/sbin/policy-rc.d
mark='made by fsm deploy/install-deps.sh while it installs'
# one of ours is there if an earlier run was killed
if [ -w "$policy" ] && grep -q "$mark" "$policy"; then
    rm -f "$policy"
fi
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "install-deps.sh: these packages are missing:$missing" >&2
    echo "install-deps.sh: run it as root (sudo deploy/install-deps.sh) to install them" >&2
    exit 1
fi

# Servers that the packages bring must not start by themselves: tests start their own.
made_policy=
log=
[ -e "$policy" ] || made_policy=1
clean() {
    [ -z "$made_policy" ] || rm -f "$policy"
    [ -z "$log" ] || rm -f "$log"
}
trap clean EXIT
trap 'exit 130' INT TERM HUP # a shell that a signal ends runs no EXIT trap
log=$(mktemp)
if [ -n "$made_policy" ]; then
    printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
fi

echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! apt-get install -y -qq --no-install-recommends $missing >"$log" 2>&1; then
    # the package lists may be old or absent
    apt-get update -qq
    # shellcheck disable=SC2086
    if ! apt-get install -y -qq --no-install-recommends $missing >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "install-deps.sh: apt-get failed, see above" >&2
        exit 1
    fi
fi
