/* frame_fuzz.c - a peer's bytes through both readers of frames, which must agree on how many
 * messages there are and whether the end was orderly. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/bug.h"
#include "common/io/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES_MAX 60000u /* what a socket takes without a reader */

static unsigned n_evented;
static bool ended, orderly;

static void on_frame(struct frame_conn *fc, json_t *msg, const char *err, void *arg)
{
    if (msg) {
        n_evented++;
        return;
    }
    ended = true;
    orderly = !err[0];
    frame_conn_free(fc);
}

/* a socket that holds the bytes and then ends */
static int fed(const uint8_t *data, size_t size)
{
    int fd[2];

    BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0);
    BUG_ON(size > 0 && write(fd[1], data, size) != (ssize_t)size);
    close(fd[1]);
    return fd[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned n_blocking = 0;
    struct loop *l;
    struct err e;
    json_t *j;
    int fd;

    if (size > BYTES_MAX)
        return 0;
    fd = fed(data, size);
    for (; (j = frame_recv(fd, 0, &e)); n_blocking++)
        json_decref(j);
    close(fd);
    l = loop_new(&e);
    BUG_ON(!l);
    n_evented = 0;
    ended = false;
    BUG_ON(!frame_conn_new(l, fed(data, size), on_frame, NULL, &e));
    while (!ended)
        loop_turn(l, true);
    loop_free(l);
    BUG_ON(n_evented != n_blocking);
    BUG_ON(orderly != !e.text[0]);
    return 0;
}
