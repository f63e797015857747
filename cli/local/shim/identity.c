/* identity.c - who a container's command is: user, groups, capabilities.
 *
 * As container engines do it: uid 0 keeps the capabilities of the specification as permitted and
 * effective set; another uid has them in its bounding set only (a file capability can still give
 * one, unless no_new_privs is set).  Nothing is ambient.
 */
#include "cli/local/shim/shim.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int drop_bounding(uint64_t keep, struct err *e)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
            return err_errno(e, "dropping capability %d", cap);
    return 0;
}

static int set_caps(uint64_t effective, struct err *e)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    for (int i = 0; i < 2; i++) {
        uint32_t word = (uint32_t)(effective >> (32 * i));
        data[i] = (struct __user_cap_data_struct){.effective = word, .permitted = word};
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &head, data))
        return err_errno(e, "setting capabilities");
    return 0;
}

/* what the kernel does not know, or the machine's root itself does not have, cannot be given */
static uint64_t own_caps(void)
{
    uint64_t all = 0;

    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            all |= 1ull << cap;
    return all;
}

int identity_take(const struct shim_spec *s, struct err *e)
{
    uint64_t caps = s->caps & own_caps();

    if (drop_bounding(caps, e))
        return -1;
    if (setgroups(s->n_groups, s->groups))
        return err_errno(e, "setting supplementary groups");
    if (setresgid(s->gid, s->gid, s->gid))
        return err_errno(e, "becoming group %u", (unsigned)s->gid);
    if (setresuid(s->uid, s->uid, s->uid))
        return err_errno(e, "becoming user %u", (unsigned)s->uid);
    if (set_caps(s->uid == 0 ? caps : 0, e))
        return -1;
    if (s->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return err_errno(e, "no_new_privs");
    return 0;
}

static void reset_signals(void)
{
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int identity_exec(const struct shim_spec *s, struct err *e)
{
    if (s->cwd && s->cwd[0] && chdir(s->cwd))
        return err_errno(e, "working directory %s", s->cwd);
    reset_signals();
    extern char **environ;
    environ = s->env; /* execvp searches the container's PATH, not ours */
    execvp(s->argv[0], s->argv);
    if (errno == ENOENT)
        return err_set(e,
                       "command \"%s\": no such file on this machine (containers run the "
                       "machine's own programs; PATH is the container's)",
                       s->argv[0]);
    return err_errno(e, "command \"%s\"", s->argv[0]);
}
