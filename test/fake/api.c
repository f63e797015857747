/* api.c - see api.h. */
#include "test/fake/api.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"
#include "common/kube/api.h"

struct kube_call {
    struct kube_call_spec spec;
    char *path, *body;
};

static struct kube_call *open_call;
static unsigned calls;

const char *fake_api_path(void)
{
    return open_call ? open_call->path : NULL;
}

const char *fake_api_body(void)
{
    return open_call ? open_call->body : NULL;
}

unsigned fake_api_calls(void)
{
    return calls;
}

struct kube_call *kube_api_get(struct kube_api *a, const struct kube_call_spec *spec)
{
    BUG_ON(open_call);
    open_call = xcalloc(1, sizeof *open_call);
    open_call->spec = *spec;
    open_call->path = xstrdup(spec->path);
    calls++;
    return open_call;
}

struct kube_call *kube_api_send(struct kube_api *a, enum kube_change how, struct slice body,
                                const struct kube_call_spec *spec)
{
    struct kube_call *c = kube_api_get(a, spec);
    c->body = xstrndup(body.p, body.n);
    return c;
}

static void call_free(struct kube_call *c)
{
    free(c->path);
    free(c->body);
    free(c);
}

void kube_call_cancel(struct kube_call *c)
{
    if (!c)
        return;
    BUG_ON(c != open_call);
    open_call = NULL;
    call_free(c);
}

static void end(const struct kube_answer *answer)
{
    struct kube_call *c = open_call;
    BUG_ON(!c);
    open_call = NULL;
    c->spec.done(answer, c->spec.arg);
    call_free(c);
}

static void begun(struct kube_call *c)
{
    if (c->spec.begun)
        c->spec.begun(c->spec.arg);
}

int fake_api_say(const char *text)
{
    struct kube_call *c = open_call;
    begun(c);
    if (c->spec.data(slice_str(text), c->spec.arg) == 0)
        return 0;
    end(&(struct kube_answer){.error = "enough"});
    return -1;
}

void fake_api_end_later(unsigned status, const char *body, uint64_t retry_after_ms)
{
    if (status == 200)
        begun(open_call);
    end(&(struct kube_answer){.status = status,
                              .error = "",
                              .retry_after = retry_after_ms,
                              .body = slice_str(body ? body : "")});
}

void fake_api_end(unsigned status, const char *body)
{
    fake_api_end_later(status, body, 0);
}

void fake_api_break(const char *why)
{
    end(&(struct kube_answer){.error = why});
}

const char *kube_api_server(const struct kube_api *a)
{
    return "https://fake:6443";
}
