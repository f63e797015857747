/* cmd_exec.c - fsm local exec, logs: the daemon says where, the work is done here. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/local/local_cli.h"
#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/mem.h"

static struct {
    bool stdin_open, tty, follow, timestamps;
    unsigned tail;
} flags = {.tail = ~0u};

const struct opt local_exec_opts[] = {
    LOCAL_OPT_NAME,
    LOCAL_OPT_NS,
    LOCAL_OPT_CONTAINER,
    {'i', "stdin", NULL, "pass standard input on", OPT_FLAG(&flags.stdin_open)},
    {'t', "tty", NULL, "on a terminal of its own", OPT_FLAG(&flags.tty)},
    OPT_END};
const struct opt local_logs_opts[] = {
    LOCAL_OPT_NAME,
    LOCAL_OPT_NS,
    LOCAL_OPT_CONTAINER,
    {'f', "follow", NULL, "go on as it grows", OPT_FLAG(&flags.follow)},
    {0, "tail", "N", "only the last N lines", OPT_UINT(&flags.tail, 0, 1000000)},
    {0, "timestamps", NULL, "with the time of each line", OPT_FLAG(&flags.timestamps)},
    OPT_END};

/* "pod/NAME" or "NAME" */
static const char *pod_name(const char *word)
{
    const char *slash = strchr(word, '/');

    return slash ? slash + 1 : word;
}

static json_t *ask(const char *verb, const char *pod)
{
    struct err e;
    json_t *reply = client_call(NULL,
                                json_pack("{s:s, s:s, s:s, s:s*, s:b}", "verb", verb, "namespace",
                                          local_ns(), "pod", pod_name(pod), "container",
                                          local_flags.container, "tty", flags.tty),
                                &e);

    if (!reply)
        cli_fail("%s", e.text);
    return reply;
}

/* ---- exec ------------------------------------------------------------------------------------ */

/* "fsm-local-shim exec WORD...": the words as they are, which JSON could not carry if they are no
 * UTF-8.  words ends with NULL; returns owned (the strings are borrowed) */
static char **shim_argv(int n, char **words)
{
    static char name[] = "fsm-local-shim", mode[] = "exec";
    char **argv = xcalloc((size_t)n + 3, sizeof(*argv));

    argv[0] = name;
    argv[1] = mode;
    memcpy(argv + 2, words, (size_t)n * sizeof(*words));
    return argv;
}

/* becomes the shim that joins the container; returns only on failure */
static int become_shim(const json_t *reply, int n, char **words)
{
    const char *shim = json_str(reply, "shim", "");
    int fd = memfd_create("fsm-local-spec", 0), null;

    if (fd < 0 || json_dumpfd(json_object_get(reply, "spec"), fd, JSON_COMPACT) ||
        lseek(fd, 0, SEEK_SET) != 0 || (fd != 3 && dup2(fd, 3) < 0))
        return cli_fail("cannot pass the request on: %s", strerror(errno));
    if (!flags.stdin_open && !flags.tty && (null = open("/dev/null", O_RDONLY)) >= 0)
        dup2(null, 0);
    close_range(4, ~0u, 0);
    execv(shim, shim_argv(n, words));
    return cli_fail("%s: %s", shim, strerror(errno));
}

int local_exec(int argc, char **argv)
{
    if (argc < 2)
        return cli_usage("fsm local exec POD [-c CONTAINER] -- COMMAND [ARGUMENT...]");
    json_t *reply = ask("exec", argv[0]);
    if (!reply)
        return 1;
    int rc = become_shim(reply, argc - 1, argv + 1);
    json_decref(reply);
    return rc;
}

/* ---- logs ------------------------------------------------------------------------------------ */

/* "2026-...Z stdout F text": P marks a piece of a longer line */
static void print_line(const char *line, size_t n)
{
    const char *end = line + n, *stream = memchr(line, ' ', n);
    const char *flag = stream ? memchr(stream + 1, ' ', (size_t)(end - stream - 1)) : NULL;

    if (!flag || flag + 3 > end) {
        fwrite(line, 1, n, stdout);
        fputc('\n', stdout);
        return;
    }
    if (flags.timestamps)
        fwrite(line, 1, (size_t)(stream - line) + 1, stdout);
    fwrite(flag + 3, 1, (size_t)(end - flag - 3), stdout);
    if (flag[1] != 'P')
        fputc('\n', stdout);
}

/* prints whole lines, keeps the rest */
static void print_lines(struct buf *b)
{
    size_t used = 0;
    const char *nl;

    while (b->len > used && (nl = memchr(b->p + used, '\n', b->len - used)) != NULL) {
        size_t n = (size_t)(nl - b->p) - used;
        print_line(b->p + used, n);
        used += n + 1;
    }
    buf_consume(b, used);
    fflush(stdout);
}

static void read_rest(int fd, struct buf *b)
{
    ssize_t n;

    while ((n = read(fd, buf_reserve(b, 65536), 65536)) > 0) {
        b->len += (size_t)n;
        b->p[b->len] = '\0';
    }
}

/* drops all but the last n lines */
static void keep_tail(struct buf *b, unsigned n)
{
    size_t at = b->len;

    if (n == 0) {
        buf_clear(b);
        return;
    }
    while (at > 0 && n > 0)
        if (b->p[--at] == '\n' && at + 1 < b->len && --n == 0)
            at++;
    if (n == 0)
        buf_consume(b, at);
}

static bool was_replaced(int fd, const char *file)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(file, &b) == 0 && a.st_ino != b.st_ino;
}

static void follow(int fd, const char *file, struct buf *b)
{
    int watch = inotify_init1(IN_CLOEXEC);
    char events[4096];
    char *dir = xstrdup(file);

    *strrchr(dir, '/') = '\0';
    inotify_add_watch(watch, dir, IN_MODIFY | IN_CREATE | IN_DELETE_SELF);
    for (;;) {
        read_rest(fd, b);
        print_lines(b);
        if (access(dir, F_OK) != 0)
            break; /* the pod is gone */
        if (was_replaced(fd, file)) {
            close(fd);
            if ((fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
                break;
            continue;
        }
        struct pollfd p = {watch, POLLIN, 0};
        poll(&p, 1, 1000);
        if (p.revents && read(watch, events, sizeof(events)) < 0)
            break;
    }
    free(dir);
    close(watch);
}

static int print_log(const char *file)
{
    struct buf b = BUF_INIT;
    char *old = xasprintf("%s.1", file);
    int old_fd = open(old, O_RDONLY | O_CLOEXEC), fd = open(file, O_RDONLY | O_CLOEXEC);

    free(old);
    if (old_fd >= 0) {
        read_rest(old_fd, &b);
        close(old_fd);
    }
    if (fd >= 0) {
        read_rest(fd, &b);
        if (flags.tail != ~0u)
            keep_tail(&b, flags.tail);
        print_lines(&b);
        if (flags.follow)
            follow(fd, file, &b);
        close(fd);
    }
    buf_free(&b);
    return 0;
}

int local_logs(int argc, char **argv)
{
    if (argc == 2 && !local_flags.container)
        local_flags.container = argv[1];
    else if (argc != 1)
        return cli_usage("fsm local logs POD [-c CONTAINER] [-f]");
    json_t *reply = ask("logs", argv[0]);
    if (!reply)
        return 1;
    int rc = print_log(json_str(reply, "file", ""));
    json_decref(reply);
    return rc;
}
