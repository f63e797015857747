/* client.c - asking the daemon. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/local/instance.h"
#include "cli/local/local_cli.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/io/frame.h"

#define ANSWER_MS 60000u

struct local_flags local_flags;

const char *local_name(void)
{
    return local_flags.name ? local_flags.name : INSTANCE_DEFAULT;
}

const char *local_name_words(const char *name)
{
    static char words[128];

    words[0] = '\0';
    if (strcmp(name, INSTANCE_DEFAULT) != 0)
        snprintf(words, sizeof(words), " --name %s", name);
    return words;
}

const char *local_ns(void)
{
    return local_flags.ns ? local_flags.ns : "default";
}

int client_open(const char *name, json_t *request, struct err *e)
{
    struct err why;
    int fd = -1;
    struct instance *in = NULL;

    if (getuid() != 0) {
        err_set(e, "fsm local needs root: try 'sudo fsm local ...'");
        goto out;
    }
    in = instance_load(name ? name : local_name(), e);
    if (!in)
        goto out;
    char *path = instance_path(in, "daemon.sock");
    fd = frame_connect(path, &why);
    free(path);
    if (fd < 0) {
        err_set(e,
                "the daemon of instance \"%s\" does not answer (%s): 'fsm local down%s' removes "
                "what is left, then 'fsm local up%s'",
                in->name, why.text, local_name_words(in->name), local_name_words(in->name));
        goto out;
    }
    if (frame_send(fd, request, 10000, e)) {
        close(fd);
        fd = -1;
    }
out:
    instance_free(in);
    json_decref(request);
    return fd;
}

json_t *client_next(int fd, uint64_t end, struct err *e)
{
    uint64_t now = clock_mono_ms();

    if (now < end)
        return frame_recv(fd, end - now < INT_MAX ? (int)(end - now) : INT_MAX, e);
    err_set(e, "not within the time-out");
    return NULL;
}

json_t *client_call(const char *name, json_t *request, struct err *e)
{
    return client_call_within(name, request, ANSWER_MS, e);
}

json_t *client_call_within(const char *name, json_t *request, unsigned ms, struct err *e)
{
    int fd = client_open(name, request, e);

    if (fd < 0)
        return NULL;
    json_t *reply = frame_recv(fd, (int)ms, e);
    close(fd);
    if (!reply) {
        if (!e->text[0])
            err_set(e, "the daemon went away before it answered");
        return NULL;
    }
    const char *error = json_str(reply, "error", NULL);
    if (error) {
        err_set(e, "%s", error);
        json_decref(reply);
        return NULL;
    }
    return reply;
}
