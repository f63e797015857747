/* log_out.c - lines to standard error; see log_out.h.
 *
 * Standard error is shared with other processes, so it must not be made non-blocking itself.  A
 * pipe is opened once more for that; a socket is written with MSG_DONTWAIT; anything else is asked
 * whether it is ready.
 */
#include "common/base/log_out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_ulong lost;

/* under the lock */
static struct {
    int fd; /* the pipe once more, non-blocking; -1 */
    dev_t dev;
    ino_t ino;
    bool cut; /* the last line did not go out whole */
} again = {.fd = -1};

/* a descriptor of the pipe that does not block; -1 if it cannot be had */
static int pipe_fd(const struct stat *st)
{
    if (again.fd >= 0 && (again.dev != st->st_dev || again.ino != st->st_ino)) {
        close(again.fd);
        again.fd = -1;
    }
    if (again.fd < 0)
        again.fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    again.dev = st->st_dev;
    again.ino = st->st_ino;
    return again.fd;
}

static ssize_t write_now(const char *p, size_t n)
{
    struct pollfd ready = {STDERR_FILENO, POLLOUT, 0};
    struct stat st;
    int fd = -1;

    if (fstat(STDERR_FILENO, &st) != 0)
        return -1;
    if (S_ISREG(st.st_mode))
        return write(STDERR_FILENO, p, n);
    if (S_ISSOCK(st.st_mode))
        return send(STDERR_FILENO, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (S_ISFIFO(st.st_mode) && (fd = pipe_fd(&st)) >= 0)
        return write(fd, p, n);
    if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT)) {
        errno = EAGAIN;
        return -1;
    }
    return write(STDERR_FILENO, p, n);
}

/* under the lock */
static bool write_line(const char *line, size_t n)
{
    ssize_t done;

    if (again.cut && write_now("\n", 1) != 1)
        return false;
    again.cut = false;
    done = write_now(line, n);
    again.cut = done > 0 && (size_t)done < n;
    /* who has no standard error at all has nobody to tell that lines are missing */
    return done == (ssize_t)n || (done < 0 && errno != EAGAIN);
}

bool log_out_write(const char *line, size_t n)
{
    bool ok;

    pthread_mutex_lock(&lock);
    ok = write_line(line, n);
    pthread_mutex_unlock(&lock);
    if (!ok)
        atomic_fetch_add(&lost, 1);
    return ok;
}

unsigned long log_out_take_lost(void)
{
    return atomic_exchange(&lost, 0);
}

void log_out_give_lost(unsigned long n)
{
    atomic_fetch_add(&lost, n);
}
