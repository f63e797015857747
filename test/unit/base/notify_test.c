/* notify_test.c - what a service manager hears, at a path and at an abstract name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/notify.h"
#include "test/unit/unit.h"

static void hears(const char *name, const char *state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    char got[64];
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    memcpy(at.sun_path, name, n);
    if (*name == '@')
        at.sun_path[0] = '\0';
    ck_assert_int_eq(
        bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
        0);
    setenv("NOTIFY_SOCKET", name, 1);
    notify_manager(state);
    ssize_t k = recv(fd, got, sizeof(got), MSG_DONTWAIT);
    ck_assert_int_eq(k, (ssize_t)strlen(state));
    ck_assert_int_eq(memcmp(got, state, (size_t)k), 0);
    close(fd);
}

START_TEST(the_manager_hears)
{
    char dir[] = "/tmp/fsm-notify-XXXXXX", path[64], name[64];

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/socket", dir);
    hears(path, "READY=1");
    unlink(path);
    rmdir(dir);
    snprintf(name, sizeof(name), "@fsm-notify-%d", (int)getpid());
    hears(name, "STOPPING=1\nSTATUS=draining");
}
END_TEST

START_TEST(nobody_is_there)
{
    static const char *const names[] = {"", "@", "relative", "/tmp/fsm-no-such/socket",
                                        "@fsm-nobody"};
    char longer[256];

    unsetenv("NOTIFY_SOCKET");
    notify_manager("READY=1");
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        notify_manager("READY=1");
    }
    memset(longer, '/', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    setenv("NOTIFY_SOCKET", longer, 1);
    notify_manager("READY=1");
}
END_TEST

UNIT_MAIN("words to the service manager", the_manager_hears, nobody_is_there)
