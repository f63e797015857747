/* document_fuzz.c - a document and a patch, split at a byte 0xff: the forms mean the same, and the
 * hash that a patch keeps up to date is the hash of what it made. */
#include <string.h>
#include "common/base/bug.h"
#include "common/base/json.h"
#include "common/policy/document.h"
#include "common/policy/document_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES_MAX (1u << 16)

static void check_forms(const json_t *doc)
{
    json_t *wire = document_strip_nulls(doc), *shown = document_present(doc);
    json_t *again = document_strip_nulls(wire), *back = document_present(wire);

    BUG_ON(!json_equal(wire, again));
    BUG_ON(document_hash(doc) != document_hash(wire));
    BUG_ON(document_hash(doc) != document_hash(shown));
    BUG_ON(document_hash(doc) != document_hash(back));
    json_decref(wire);
    json_decref(shown);
    json_decref(again);
    json_decref(back);
}

/* patches lead to the Version that they name: the error says which that would be */
static void check_patch(const json_t *doc, json_t *patch)
{
    static const char leads[] = "the patch leads to version ";
    uint64_t hash = document_hash(doc), before = hash;
    struct err e = {""};
    json_t *was = json_deep_copy(doc), *out;
    char version[DOCUMENT_VERSION_MAX];

    json_object_set_new(patch, "Version", json_string("no version"));
    out = document_patch(doc, patch, &hash, &e);
    BUG_ON(out || hash != before || !e.text[0]);
    if (strncmp(e.text, leads, sizeof(leads) - 1) == 0) {
        const char *at = e.text + sizeof(leads) - 1;
        json_object_set_new(patch, "Version", json_stringn(at, strcspn(at, ",")));
        out = document_patch(doc, patch, &hash, &e);
        BUG_ON(!out || document_hash(out) != hash);
        document_version(out, version);
        BUG_ON(strcmp(version, json_str(patch, "Version", "")) != 0);
        json_decref(out);
    }
    BUG_ON(!json_equal(doc, was));
    json_decref(was);
}

/* what a store shows is what the document is */
static void check_shown(const struct document *d, const json_t *doc)
{
    json_t *want = document_present(doc), *got;
    struct buf text = BUF_INIT;
    struct err e;

    document_print(d, &text);
    struct document *again = document_load(buf_slice(&text), &e);
    BUG_ON(!again || document_hash_now(again) != document_hash_now(d));
    document_unref(again);
    buf_clear(&text);
    document_show(d, NULL, &text);
    got = json_parse(buf_slice(&text), SIZE_MAX, &e);
    BUG_ON(!got);
    BUG_ON(document_hash_now(d) != document_hash(doc) || document_hash(got) != document_hash(want));
    json_decref(want);
    json_decref(got);
    buf_free(&text);
}

/* something else stands where maps of fragments belong */
static bool is_odd(const json_t *rest)
{
    const json_t *out = json_object_get(rest, "Outbound");

    return (out && !json_is_object(out)) || json_object_get(out, "TrafficMatches") ||
           json_object_get(out, "ClustersConfigs") || json_object_get(rest, "AllowedEndpoints");
}

/* A store leads where document_patch() leads.  It may refuse a patch of what is no fragment. */
static void check_store(struct slice text, const json_t *wire, const json_t *patch)
{
    struct err e = {""};
    struct document *d = document_load(text, &e), *n;
    uint64_t hash = document_hash(wire);
    json_t *out;

    if (!d) { /* a NUL behind a number is let through by jansson */
        BUG_ON(!memchr(text.p, 0, text.n));
        return;
    }
    if (!is_odd(document_rest(d)))
        check_shown(d, wire);
    out = patch ? document_patch(wire, patch, &hash, &e) : NULL;
    n = patch ? document_update(d, patch, &e) : NULL;
    BUG_ON(n && !out);
    if (n)
        check_shown(n, out);
    document_unref(n);
    document_unref(d);
    json_decref(out);
}

/* two items of one port with the same key: which of them a patch means is not said */
static bool has_twins(const json_t *doc)
{
    const json_t *ports = json_at(doc, "Outbound.TrafficMatches");
    const char *port;
    json_t *list;
    bool found = false;

    json_object_foreach ((json_t *)ports, port, list)
        for (size_t i = 0; i < json_array_size(list); i++)
            for (size_t k = 0; k < i; k++)
                found |= strcmp(document_item_key(json_array_get(list, i)),
                                document_item_key(json_array_get(list, k))) == 0;
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size), first = slice_cut(&rest, (char)0xff);
    struct err e;
    json_t *doc = json_parse(first, BYTES_MAX, &e), *patch, *wire;

    if (!json_is_object(doc)) {
        json_decref(doc);
        return 0;
    }
    check_forms(doc);
    patch = rest.p ? json_parse(rest, BYTES_MAX, &e) : NULL;
    wire = document_strip_nulls(doc);
    if (json_is_object(patch))
        check_patch(wire, patch);
    if (!has_twins(wire))
        check_store(first, wire, json_is_object(patch) ? patch : NULL);
    json_decref(wire);
    json_decref(patch);
    json_decref(doc);
    return 0;
}
