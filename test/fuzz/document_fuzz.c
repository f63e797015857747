/* document_fuzz.c - a document and a patch, split at a byte 0xff: the forms mean the same, and the
 * hash that a patch keeps up to date is the hash of what it made. */
#include <string.h>
#include "common/base/bug.h"
#include "common/base/json.h"
#include "common/policy/document.h"

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
    json_decref(wire);
    json_decref(patch);
    json_decref(doc);
    return 0;
}
