/* pump.c - a container's output, line by line, into its log file.
 *
 * Format, as Kubernetes' container runtimes write it:
 *   2026-01-02T03:04:05.678901234Z stdout F the line
 * with P instead of F for a piece of a line longer than the buffer.  Two files of at most `max`
 * bytes are kept: NAME and NAME.1.  A full disk costs log lines, never the container.
 */
#include "cli/local/shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int pump_open(struct pump *p, int dir_fd, const char *name, uint64_t max, struct err *e)
{
    struct stat st;

    *p = (struct pump){.dir_fd = dir_fd, .name = name, .max = max};
    p->streams[0] = (struct pump_stream){.fd = -1, .tag = "stdout"};
    p->streams[1] = (struct pump_stream){.fd = -1, .tag = "stderr"};
    p->log_fd = openat(dir_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (p->log_fd < 0)
        return err_errno(e, "log file %s", name);
    p->size = fstat(p->log_fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    return 0;
}

static void rotate(struct pump *p)
{
    char old[300];

    snprintf(old, sizeof(old), "%s.1", p->name);
    renameat(p->dir_fd, p->name, p->dir_fd, old);
    int fd = openat(p->dir_fd, p->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    close(p->log_fd);
    p->log_fd = fd;
    p->size = 0;
}

static void write_line(struct pump *p, const char *tag, char flag, const char *text, size_t n)
{
    char head[80];
    struct timespec ts;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    int h = snprintf(head, sizeof(head), "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ %s %c ",
                     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     ts.tv_nsec, tag, flag);
    struct iovec iov[3] = {{head, (size_t)h}, {(void *)(uintptr_t)text, n}, {(void *)"\n", 1}};
    if (p->size > p->max)
        rotate(p);
    ssize_t w = writev(p->log_fd, iov, 3);
    if (w > 0)
        p->size += (uint64_t)w;
}

static void take_lines(struct pump *p, struct pump_stream *st)
{
    char *start = st->line, *nl;

    while ((nl = memchr(start, '\n', st->used - (size_t)(start - st->line))) != NULL) {
        write_line(p, st->tag, 'F', start, (size_t)(nl - start));
        start = nl + 1;
    }
    st->used -= (size_t)(start - st->line);
    memmove(st->line, start, st->used);
    if (st->used == sizeof(st->line)) {
        write_line(p, st->tag, 'P', st->line, st->used);
        st->used = 0;
    }
}

static void end_stream(struct pump *p, struct pump_stream *st)
{
    if (st->used)
        write_line(p, st->tag, 'F', st->line, st->used);
    st->used = 0;
    close(st->fd);
    st->fd = -1;
}

void pump_read(struct pump *p, unsigned stream)
{
    struct pump_stream *st = &p->streams[stream];

    if (st->fd < 0)
        return;
    ssize_t n = read(st->fd, st->line + st->used, sizeof(st->line) - st->used);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        end_stream(p, st);
        return;
    }
    st->used += (size_t)n;
    take_lines(p, st);
}

void pump_finish(struct pump *p)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pump_stream *st = &p->streams[i];
        if (st->fd < 0)
            continue;
        fcntl(st->fd, F_SETFL, O_NONBLOCK);
        for (;;) {
            ssize_t n = read(st->fd, st->line + st->used, sizeof(st->line) - st->used);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                break;
            st->used += (size_t)n;
            take_lines(p, st);
        }
        end_stream(p, st);
    }
}
