/* notify.c - see notify.h */
#include "common/base/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* "@name" is one of Linux's names that are in no file system; the length of the address, or 0 */
static socklen_t address(const char *name, struct sockaddr_un *out)
{
    size_t n = name ? strlen(name) : 0;

    if (n < 2 || n >= sizeof(out->sun_path) || (*name != '/' && *name != '@'))
        return 0;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, name, n);
    if (*name == '@')
        out->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

void notify_manager(const char *state)
{
    struct sockaddr_un to;
    socklen_t n = address(getenv("NOTIFY_SOCKET"), &to);
    int fd = n ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

    if (fd < 0)
        return;
    sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, n);
    close(fd);
}
