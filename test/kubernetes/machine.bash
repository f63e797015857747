# machine.bash - the lab's machines: what stands for the control plane's host and for each node.
#
#   machine_up NAME             a machine that is there and has nothing running on it
#   machine_start NAME PROGRAM COMMAND...   starts a daemon on it; its log is in the lab's directory
#   machine_stop NAME PROGRAM [SIGNAL]      ends one, and waits for that
#   machine_alive NAME [PROGRAM]
#   machine_run NAME COMMAND... runs a command there, with this one's input and output
#   machine_down NAME           ends it with everything that is on it; '' for all of this lab's.  They
#                               are found by their cgroups alone
#
# A machine is a process (pause) in network, mount, PID, IPC and host name namespaces of its own.  All
# that a daemon does on it, and all that the pods on it do, is in these: when the process ends, however
# it ends, the kernel ends the others and removes mounts, links, addresses, routes and rules.  Of the
# file system a machine sees this one's root with a /run, /tmp, /var, /etc and /opt that are its own.
# What the kernel does not remove are files (below $STATE and $DATA) and the cgroups; these are in
# every hierarchy at /fsm-lab-NAME, which is also how machines are found whose state was lost.
#
# Uses: LAB (the lab's name), STATE, DATA, PROGRAMS.

CGROUP=fsm-lab-$LAB
# kernel settings that a kubelet wants; it sees them so, and the machine keeps its own
KERNEL_WANTED='vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1
kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000'

# ---- cgroups ------------------------------------------------------------------------------------
# mount points of the hierarchies: several for version 1, of which one may be of version 2 and for
# names alone; a single one for version 2
cgroup_hierarchies() {
    awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/self/mounts | sort -u
}
# each level of a version 2 hierarchy has to be told what it hands on
cgroup_hand_on() { # DIRECTORY
    local controller controllers
    [ -e "$1/cgroup.controllers" ] || return 0
    read -ra controllers <"$1/cgroup.controllers"
    for controller in "${controllers[@]}"; do
        echo "+$controller" >"$1/cgroup.subtree_control" 2>/dev/null || true
    done
}
cgroup_make() { # DIRECTORY: below one that exists
    mkdir -p "$1" || return 1
    local file
    for file in cpuset.cpus cpuset.mems; do
        # version 1 has them empty, and takes no process then
        if [ -e "$1/$file" ] && [ ! -e "$1/cgroup.controllers" ]; then
            cat "${1%/*}/$file" >"$1/$file" || return 1
        fi
    done
}
# daemons are in NAME/system, pods below NAME/pods: the kubelet's cgroupRoot
cgroups_up() { # NAME
    local top dir
    for top in $(cgroup_hierarchies); do
        cgroup_hand_on "$top"
        for dir in "$top/$CGROUP" "$top/$CGROUP/$1"; do
            cgroup_make "$dir" || return 1
            cgroup_hand_on "$dir"
        done
        cgroup_make "$top/$CGROUP/$1/pods" || return 1
        cgroup_make "$top/$CGROUP/$1/system" || return 1
    done
}
cgroup_join() { # NAME: this process and what it starts
    local top
    for top in $(cgroup_hierarchies); do
        echo "$BASHPID" >"$top/$CGROUP/$1/system/cgroup.procs" || return 1
    done
}
# every process that is in one of the lab's cgroups, or of one machine's
cgroup_processes() { # [NAME]
    local top
    for top in $(cgroup_hierarchies); do
        find "$top/$CGROUP${1:+/$1}" -name cgroup.procs -exec cat {} + 2>/dev/null
    done | sort -un | grep -vx 0
}
cgroups_gone() { # [NAME]
    local top dir i
    for top in $(cgroup_hierarchies); do
        dir=$top/$CGROUP${1:+/$1}
        # a process that has just ended still counts for a moment
        for ((i = 0; i < 100; i++)); do
            [ -d "$dir" ] || break
            find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.05
        done
    done
}

# ---- a machine ------------------------------------------------------------------------------------
machine_pid() { # NAME: of its first process; fails if that has ended
    local pid
    pid=$(cat "$STATE/$1/pid" 2>/dev/null) || return 1
    [ -d "/proc/$pid" ] && [[ $(readlink "/proc/$pid/ns/pid") == "$(cat "$STATE/$1/namespace")" ]] && echo "$pid"
}
# runs as the machine's first process, before anything else is there
machine_first() { # NAME
    local name=$1 new=$DATA/$1/run setting dir
    read -r pid _ </proc/self/stat
    readlink /proc/self/ns/pid >"$STATE/$name/namespace"
    echo "$pid" >"$STATE/$name/pid"
    mount --make-rprivate / 2>/dev/null || {
        # the root of a changed root directory need not be a mount; runc wants one
        echo "the root directory of this process is no mount point" >&2
        return 1
    }
    hostname "$name"
    mount -n -t proc proc /proc
    for setting in $KERNEL_WANTED; do
        [ -e "/proc/sys/${setting%=*}" ] || continue
        echo "${setting#*=}" >"$DATA/$name/sysctl/${setting//\//.}"
        mount -n --bind "$DATA/$name/sysctl/${setting//\//.}" "/proc/sys/${setting%=*}"
    done
    # what may lie below a directory that is about to be covered is bound first
    mount -n -t tmpfs -o mode=755 tmpfs "$new"
    mkdir -p "$new"/{lab/{bin,state,var},lock,netns,opt/cni,etc/{up,work},tmp}
    chmod 1777 "$new/tmp"
    mount -n --bind "$PROGRAMS" "$new/lab/bin"
    mount -n --bind "$STATE" "$new/lab/state"
    mount -n --bind "$DATA/$name/var" "$new/lab/var"
    mount -n --move "$new" /run
    mount -n --move /run/lab/var /var
    mount -n -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/up,workdir=/run/etc/work /etc
    mount -n --bind /run/opt /opt
    mount -n --bind /run/tmp /tmp
    ln -s /usr/lib/cni /opt/cni/bin
    ln -s /run /var/run
    rm -f /etc/resolv.conf
    : >/etc/resolv.conf
    # containerd's layers cannot lie on an overlay
    dir=/var/lib/containerd
    mkdir -p $dir/try/{lower,up,work,mount} /var/log /var/tmp /var/lib/kubelet
    if mount -n -t overlay overlay -o "lowerdir=$dir/try/lower,upperdir=$dir/try/up,workdir=$dir/try/work" $dir/try/mount 2>/dev/null; then
        umount -n $dir/try/mount
    else
        mount -n -t tmpfs tmpfs $dir
    fi
    rm -rf $dir/try
    mount --make-rshared /
    ip link set lo up
    cd /
    : >"/run/lab/state/$name/mounted"
    exec -a "$CGROUP-$name" /run/lab/bin/pause
}
machine_up() { # NAME
    local name=$1
    mkdir -p "$STATE/$name" "$DATA/$name"/{run,var,sysctl}
    cgroups_up "$name" || return 1
    (
        cgroup_join "$name" || exit 1
        export -f machine_first
        export STATE DATA PROGRAMS CGROUP KERNEL_WANTED
        # its parent outlives it by nothing: killing either ends both
        exec setsid unshare --net --mount --pid --ipc --uts --fork --kill-child \
            bash -euc "machine_first '$name'" </dev/null >"$STATE/$name/machine.log" 2>&1 8<&-
    ) &
    # the shell is not to tell of its end
    disown
    until [ -e "$STATE/$name/mounted" ]; do
        [ -d /proc/$! ] || {
            cat "$STATE/$name/machine.log" >&2
            return 1
        }
        sleep 0.01
    done
}
machine_run() { # NAME COMMAND...
    local pid
    pid=$(machine_pid "$1") || return 1
    shift
    # Its root, because entering mounts alone would leave a changed root directory; and nothing of the
    # caller's settings (a proxy, a kubeconfig) is meant for it.
    nsenter -t "$pid" --net --mount --pid --ipc --uts --root --wd -- \
        env -i PATH="/run/lab/bin:$PATH" HOME=/root TMPDIR=/tmp TERM="${TERM:-dumb}" "$@"
}
machine_start() { # NAME PROGRAM COMMAND...
    local name=$1 program=$2
    shift 2
    rm -f "$STATE/$name/$program.pid"
    (
        cgroup_join "$name"
        # nsenter waits for a process that it started; the shell between them does not
        # shellcheck disable=SC2016
        machine_run "$name" bash -c 'log=$1 pid=$2; shift 2; cd /
            setsid bash -c "echo \$\$ >$pid; exec \"\$@\"" x "$@" >>$log 2>&1 </dev/null 8<&- &' \
            x "/run/lab/state/$name/$program.log" "/run/lab/state/$name/$program.pid" "$@"
    )
    until [ -s "$STATE/$name/$program.pid" ]; do
        machine_alive "$name" || return 1
        sleep 0.01
    done
}
machine_alive() { # NAME [PROGRAM]
    local pid inner
    pid=$(machine_pid "$1") || return 1
    [ $# = 1 ] && return 0
    inner=$(cat "$STATE/$1/$2.pid" 2>/dev/null) || return 1
    [ -e "/proc/$pid/root/proc/$inner/exe" ] && ! grep -q '^State:.Z' "/proc/$pid/root/proc/$inner/status" 2>/dev/null
}
machine_signal() { # NAME PROGRAM SIGNAL
    machine_run "$1" kill "-$3" "$(cat "$STATE/$1/$2.pid")" 2>/dev/null
}
machine_stop() { # NAME PROGRAM [SIGNAL]
    local i
    machine_alive "$1" "$2" || return 0
    machine_signal "$1" "$2" "${3:-TERM}"
    for ((i = 0; i < 200; i++)); do
        machine_alive "$1" "$2" || return 0
        # it has had its time
        [ $i != 100 ] || machine_signal "$1" "$2" KILL
        sleep 0.05
    done
    return 1
}
processes_end() { # PIDS...: kills them and waits until they are gone
    local i pid left
    [ $# -gt 0 ] || return 0
    kill -KILL "$@" 2>/dev/null
    for ((i = 0; i < 400; i++)); do
        left=
        for pid; do
            [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null && left=1
        done
        [ -n "$left" ] || return 0
        sleep 0.025
    done
    return 1
}
# all that are in the machine's cgroups, until nobody is: what is killed may just have forked
machine_down() { # NAME
    local i pids
    for ((i = 0; i < 20; i++)); do
        mapfile -t pids < <(cgroup_processes "$1")
        [ ${#pids[@]} -gt 0 ] || break
        processes_end "${pids[@]}"
    done
    cgroups_gone "$1"
}
