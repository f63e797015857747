/* view_fuzz.c - a document, and behind a byte 0xff another: each becomes tables or is refused with
 * a place and a reason, and the second may share with the first what did not change. */
/* objects: sidecar/document.c */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/bug.h"
#include "common/base/log.h"
#include "common/policy/document_store.h"
#include "common/proxy/engine.h"
#include "common/proxy/view.h"
#include "sidecar/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct engine *engine;

static void setup(void)
{
    const struct engine_opts o = {.workers = 0, .seed = 1, .access_fd = -1};
    struct err e;

    log_set_level(LOG_OFF);
    loop = loop_new(&e);
    engine = engine_new(loop, &o, &e);
}

static struct view *view_of(struct document *doc, const struct document *before)
{
    const struct document_conf c = {.engine = engine, .before = before, .dry = true};
    struct err e = {""};
    struct view *v = document_view(&c, doc, &e);

    BUG_ON(!v && !e.text[0]);
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size), first = slice_cut(&rest, (char)0xff);
    struct err e = {""};
    struct document *a, *b = NULL;
    struct view *v;

    if (!loop)
        setup();
    a = document_load(first, &e);
    if (!a)
        return 0;
    v = view_of(a, NULL);
    if (v && rest.p)
        b = document_load(rest, &e);
    if (b)
        view_free(view_of(b, a));
    view_free(v);
    document_unref(b);
    document_unref(a);
    return 0;
}
