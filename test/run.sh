#!/bin/bash
# All tests of fsm, from nothing: installs what is missing, builds every variant, runs everything,
# leaves nothing behind.  Prints one line per scenario and a sum at the end.
#   sudo test/run.sh                 everything
#   sudo test/run.sh --quick         build, unit and golden tests, and a few end-to-end scenarios
#   sudo test/run.sh NAME...         only what has NAME in its name (see --list)
#   sudo test/run.sh --kubernetes    everything, and the scenarios that need a real Kubernetes: those of
#                                    test/e2e/kubernetes, and all that say "# places: local kubernetes" a
#                                    second time, in labs (test/kubernetes/lab) that they share
#   sudo test/run.sh --list          names of everything
# Scenarios that need what Debian does not have ("# optional: ...") run when they are named.
# Exit status: 0 all passed; 1 something failed, or (with CI set) was skipped; 2 wrong usage.
# Logs stay in build/test-logs/.
set -uo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # what root's tools are in, whatever su left
QUICK=
KUBERNETES=
LIST=
NAMES=()
for a; do
    case "$a" in
    --quick) QUICK=1 ;;
    --kubernetes) KUBERNETES=1 ;;
    --list) LIST=1 ;;
    -h | --help)
        sed -n '2,13s/^# \{0,1\}//p' test/run.sh
        exit 0
        ;;
    -*)
        echo "test/run.sh: unknown option $a (see --help)" >&2
        exit 2
        ;;
    *) NAMES+=("$a") ;;
    esac
done
LANES=${LANES:-$(nproc)}
FUZZ_SECONDS=${FUZZ_SECONDS:-5}
QUICK_E2E='e2e/permissive/http-names e2e/permissive/grpc e2e/permissive/tcp e2e/security/no-certificate'
# scenarios that are run again over the other TLS library, and under the sanitizers
AGAIN_OPENSSL='e2e/engine/* e2e/permissive/* e2e/security/* e2e/faults/*'
AGAIN_ASAN='e2e/engine/* e2e/permissive/http-names e2e/permissive/http1-over-http2 e2e/permissive/grpc e2e/permissive/tcp e2e/permissive/websocket e2e/permissive/server-first e2e/faults/upstream e2e/faults/bad-document e2e/security/no-certificate e2e/engine/hostile'

# ---- what there is: "NAME<tab>exclusive?<tab>command" -----------------------------------------
list_scenarios() { # PREFIX BIN PATTERNS...
    local prefix=$1 bin=$2 s name pat first=
    # those that measure do so once; over another library, or under the sanitizers, they only check
    [ "$prefix" != e2e/ ] || first='\( the first time\)\?'
    shift 2
    while read -r s; do
        name=${s#test/}
        name=${name%.sh}
        for pat; do
            # shellcheck disable=SC2053
            if [[ $name == $pat ]]; then
                printf '%s%s\t%s\tFSM_BIN=%q bash %q\n' "$prefix" "${name#e2e/}" \
                    "$(grep -q "^# exclusive$first:" "$s" && echo x || echo -)" "$ROOT/$bin" "$s"
                break
            fi
        done
    done < <(find test/e2e -mindepth 2 -name '*.sh' -not -path '*/peers/*' | sort)
}
# the scenarios of both places, on the labs that the job before them started: one for each lane, two at most
LABS=r$(($$ % 1000000))a
[ "$LANES" -lt 2 ] || LABS+=" ${LABS%a}b"
kubernetes_jobs() {
    printf 'lab\tx\tFSM_BIN=%q test/kubernetes/shared "%s" up\n' "$ROOT/build/mbedtls/bin" "$LABS"
    # shellcheck disable=SC2046
    list_scenarios e2e-kubernetes/ build/mbedtls/bin $(grep -lx '# places: local kubernetes' test/e2e/*/*.sh | sed 's|^test/||; s|\.sh$||') |
        sed -E "s|\tFSM_BIN=([^ ]*) |\tFSM_BIN=\1 FSM_PLACE=kubernetes test/kubernetes/shared '$LABS' run |"
}
jobs_all() {
    printf 'build/gcc-mbedtls\tx\tmake -j%s all\n' "$LANES"
    if [ -n "$QUICK" ]; then
        printf 'check/gcc-mbedtls\t-\tmake check\n'
        # shellcheck disable=SC2086
        list_scenarios e2e/ build/mbedtls/bin $QUICK_E2E
        return
    fi
    printf 'build/gcc-asan\t-\tmake SAN=asan all\n'
    printf 'build/gcc-openssl\t-\tmake TLS=openssl all\n'
    printf 'build/clang-mbedtls\t-\tmake CC=clang all\n'
    printf 'check/gcc-asan\t-\tmake SAN=asan check\n'
    printf 'fuzz\t-\tmake fuzz FUZZ_SECONDS=%s\n' "$FUZZ_SECONDS"
    printf 'lint\t-\tmake lint\n'
    printf 'check/gcc-mbedtls\t-\tmake check\n'
    printf 'check/gcc-openssl\t-\tmake TLS=openssl check\n'
    printf 'check/clang-mbedtls\t-\tmake CC=clang check\n'
    list_scenarios e2e/ build/mbedtls/bin '*'
    set -f
    # shellcheck disable=SC2086
    list_scenarios e2e-openssl/ build/openssl/bin $AGAIN_OPENSSL
    # shellcheck disable=SC2086
    list_scenarios e2e-asan/ build/mbedtls-asan/bin $AGAIN_ASAN
    set +f
    [ -z "$KUBERNETES" ] || kubernetes_jobs
}
# the scenarios that run alone come last, so that the lanes are emptied for them once; and after all others those
# that share labs, which take memory
in_order() {
    jobs_all | awk -F '\t' '{ n = ($1 ~ /^(lab$|e2e-kubernetes)/) * 4 + ($1 ~ /^e2e/ && $2 == "x") * 2; print n "\t" $0 }' |
        sort -s -n -k 1,1 | cut -f 2-
}
wanted() {
    local n
    [ ${#NAMES[@]} = 0 ] && return 0
    for n in "${NAMES[@]}"; do [[ $1 == *"$n"* ]] && return 0; done
    return 1
}
# names of jobs that are to run: the wanted ones, and the builds that those need
declare -A CHOSEN=()
choose() {
    local name
    while IFS=$'\t' read -r name _; do
        wanted "$name" || continue
        CHOSEN[$name]=1
        case $name in
        e2e-openssl/*) CHOSEN[build/gcc-openssl]=1 ;;
        e2e-asan/*) CHOSEN[build/gcc-asan]=1 ;;
        e2e-kubernetes/*) CHOSEN[lab]=1 ;;
        esac
        CHOSEN[build/gcc-mbedtls]=1
    done < <(jobs_all)
}
# each NAME must choose something: a mistyped one would pass
check_names() {
    local n all near
    all=$(jobs_all | cut -f1)
    for n in "${NAMES[@]}"; do
        grep -qF -- "$n" <<<"$all" && continue
        echo "test/run.sh: nothing here is called $n (see --list)" >&2
        near=${n##*/} && grep -F -- "${near:0:4}" <<<"$all" | sed 's/^/  perhaps /' >&2
        exit 2
    done
}
if [ -n "$LIST" ]; then
    jobs_all | cut -f1
    exit 0
fi
check_names
choose
if [ "$(id -u)" != 0 ]; then
    echo "test/run.sh: the scenarios make network namespaces: run 'sudo test/run.sh'" >&2
    exit 1
fi
START=$(date +%s)
echo "dependencies ..."
deploy/install-deps.sh test || exit 1
LOGS=$ROOT/build/test-logs
# two runs would build and log over each other; the jobs do not hold the lock
exec 9<test/run.sh
flock -n 9 || {
    echo "test/run.sh: another one is under way in this tree: wait for its end" >&2
    exit 1
}
if ! rm -rf "$LOGS" || ! mkdir -p "$LOGS/state"; then
    echo "test/run.sh: $LOGS cannot be written" >&2
    exit 1
fi
PASSED=0 FAILED=0 SKIPPED=0 BROKEN= MISSED=

# ---- running -----------------------------------------------------------------------------------
run_one() { # NAME COMMAND: writes its result line to the state directory
    local name=$1 cmd=$2 log rc t0 t1 line job
    log=$LOGS/${name//\//.}.log
    t0=$(date +%s%N)
    # timeout has a process group of its own and passes a signal on to all of it
    timeout -k 30 "${SCENARIO_TIMEOUT:-900}" bash -c "$cmd" >"$log" 2>&1 </dev/null 9<&- &
    job=$!
    trap 'kill -TERM $job 2>/dev/null' TERM
    wait $job
    rc=$?
    [ $rc -gt 128 ] && wait $job # a signal to us ended the first wait; the job still cleans up
    t1=$(date +%s%N)
    line=$(tail -n 1 "$log" | cut -c1-160)
    case $name in e2e* | lab) ;; *) line=$(grep -E '^[0-9]+ passed, ' "$log" | tail -n 1) ;; esac
    printf '%s\t%s\t%s\t%s\n' "$rc" "$name" $(((t1 - t0) / 1000000)) "$line" >"$LOGS/state/${name//\//.}"
}
report() { # NAME
    local rc=1 name=$1 ms=0 line='no result' p f s log
    IFS=$'\t' read -r rc name ms line <"$LOGS/state/${1//\//.}"
    log=$LOGS/${name//\//.}.log
    p=1 f=0 s=0
    # a job that is many tests says how many
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]} s=${BASH_REMATCH[3]}
        [ "$s" = 0 ] || MISSED=1
        [ "$rc" = 0 ] || [ "$f" -gt 0 ] || f=1
    elif [ "$rc" = 77 ]; then
        MISSED=1
        p=0 s=1
    elif [ "$rc" != 0 ]; then
        p=0 f=1
    fi
    PASSED=$((PASSED + p)) FAILED=$((FAILED + f)) SKIPPED=$((SKIPPED + s))
    local word=ok
    [ "$s" -gt 0 ] && word=SKIP
    [ "$f" -gt 0 ] && word=FAILED
    printf '%-6s %-44s %6d.%01d s  %s\n' "$word" "$name" $((ms / 1000)) $((ms % 1000 / 100)) "$line"
    # without the binaries there is nothing to test
    [[ $word == FAILED && $name == build/* ]] && BROKEN=1
    # and without a cluster nothing to run on
    [[ $word != ok && $name == lab ]] && NO_LAB=1
    [[ $name == e2e/* || $name == e2e-kubernetes/* ]] && RESULT[$name]="$word $((ms / 1000)) s"
    [ "$word" = FAILED ] && tail -n 40 "$log" | sed 's/^/    | /'
    return 0
}
declare -A RUNNING=() RESULT=()
reap() { # waits for one job
    local pid
    wait -n -p pid "${!RUNNING[@]}"
    report "${RUNNING[$pid]}"
    unset "RUNNING[$pid]"
}
drain() { while [ ${#RUNNING[@]} -gt 0 ]; do reap; done; }
lab_down() {
    [ -z "$KUBERNETES" ] || test/kubernetes/shared "$LABS" down
}
stop() {
    trap '' INT TERM HUP PIPE
    [ ${#RUNNING[@]} = 0 ] || echo "test/run.sh: interrupted; ending ${RUNNING[*]}" >&2
    for pid in "${!RUNNING[@]}"; do kill "$pid" 2>/dev/null; done
    wait
    lab_down
    exit 130
}
trap stop INT TERM HUP PIPE

# variants build and test in two lanes; scenarios too, but for those that measure time
LAST_BUILD=
BY_NAME=
NO_LAB=
while IFS=$'\t' read -r name exclusive cmd; do
    [ -n "${CHOSEN[$name]:-}" ] || continue
    if [[ -n $NO_LAB && $name == e2e-kubernetes/* ]]; then
        printf '%-6s %-44s %8s    there is no lab\n' SKIP "$name" ''
        SKIPPED=$((SKIPPED + 1)) MISSED=1 RESULT[$name]=SKIP
        continue
    fi
    if [ ${#NAMES[@]} = 0 ] && [[ -z $KUBERNETES || $name != e2e/kubernetes/* ]] && grep -qs '^# optional: ' "test/e2e/${name#e2e*/}.sh"; then
        BY_NAME+=" $name"
        continue
    fi
    # a scenario needs its variant's binaries
    case $name in
    e2e* | check/* | fuzz) [ -n "$LAST_BUILD" ] && { drain; LAST_BUILD=; } ;;
    esac
    case $name in
    build/*) LAST_BUILD=1 ;;
    esac
    [ "$exclusive" = x ] && drain
    while [ ${#RUNNING[@]} -ge "$LANES" ]; do reap; done
    run_one "$name" "$cmd" &
    RUNNING[$!]=$name
    [ "$exclusive" = x ] && drain
    [ -z "$BROKEN" ] || break
done < <(in_order)
drain
lab_down
# why a scenario does not run on a cluster
reason() { # SCENARIO
    case $1 in
    engine/*) echo "- sidecars without a mesh" ;;
    injector/*) echo "- see kubernetes/injector" ;;
    local/*) echo "- it is about fsm local" ;;
    redirect/*) echo "- fsm-init in namespaces of this machine" ;;
    suite/*) echo "- it is about the tests" ;;
    *) sed -n 's/^# places: local, /- /p' "test/e2e/$1.sh" ;;
    esac
}
# which scenarios ran where
table() {
    local s
    printf '\n%-32s %-12s %s\n' scenario local kubernetes
    for s in $(printf '%s\n' "${!RESULT[@]}" | grep -v '^e2e/kubernetes/' | sed -E 's|^e2e(-kubernetes)?/||' | sort -u); do
        printf '%-32s %-12s %s\n' "$s" "${RESULT[e2e/$s]:--}" "${RESULT[e2e-kubernetes/$s]:-$(reason "$s")}"
    done
    for s in $(printf '%s\n' "${!RESULT[@]}" | sed -n 's|^e2e/kubernetes/||p' | sort); do
        printf '%-32s %-12s %s\n' "kubernetes/$s" - "${RESULT[e2e/kubernetes/$s]}"
    done
}
[ -z "$KUBERNETES" ] || table
[ -z "$BY_NAME" ] || echo "run by name alone:$BY_NAME"
echo "logs: build/test-logs/   time: $(($(date +%s) - START)) s"
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
[ "$FAILED" = 0 ] || exit 1
if [ -n "$MISSED" ] && [ -n "${CI:-}" ]; then
    echo "test/run.sh: nothing may be skipped here" >&2
    exit 1
fi
[ "$PASSED" -gt 0 ]
