/* legacy.c - rules in ip_tables through libiptc and libip6tc: the whole table is read, changed in
 * memory and put back in one call per family.
 *
 * Asking libiptc for a table creates it.  What exists is therefore told by /proc first, so that
 * looking never leaves an empty table behind that would mislead the next one who looks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "interceptor/init/backend.h"
#include "interceptor/init/entry.h"
#include "interceptor/init/iptc.h"

#define COMMIT_TRIES 5
#define NAMES_MAX    4096u

/* libiptc and libip6tc are one library written twice; this hides which */
struct tc {
    struct xtc_handle *(*init)(const char *table);
    void (*free)(struct xtc_handle *h);
    int (*commit)(struct xtc_handle *h);
    const char *(*strerror)(int err);
    int (*is_chain)(const char *chain, struct xtc_handle *h);
    const char *(*first_chain)(struct xtc_handle *h);
    const char *(*next_chain)(struct xtc_handle *h);
    int (*builtin)(const char *chain, struct xtc_handle *h);
    const void *(*first_rule)(const char *chain, struct xtc_handle *h);
    const void *(*next_rule)(const void *prev, struct xtc_handle *h);
    const char *(*target)(const void *entry, struct xtc_handle *h);
    int (*append)(const xt_chainlabel chain, const void *entry, struct xtc_handle *h);
    int (*delete_num)(const xt_chainlabel chain, unsigned n, struct xtc_handle *h);
    int (*create)(const xt_chainlabel chain, struct xtc_handle *h);
    int (*flush)(const xt_chainlabel chain, struct xtc_handle *h);
    int (*delete_chain)(const xt_chainlabel chain, struct xtc_handle *h);
};
/* entries are passed as void: only their own library looks into them */
#define TC(lib)                                                                                    \
    static const void *lib##_first(const char *chain, struct xtc_handle *h)                        \
    {                                                                                              \
        return lib##_first_rule(chain, h);                                                         \
    }                                                                                              \
    static const void *lib##_next(const void *prev, struct xtc_handle *h)                          \
    {                                                                                              \
        return lib##_next_rule(prev, h);                                                           \
    }                                                                                              \
    static const char *lib##_target(const void *entry, struct xtc_handle *h)                       \
    {                                                                                              \
        return lib##_get_target(entry, h);                                                         \
    }                                                                                              \
    static int lib##_append(const xt_chainlabel chain, const void *entry, struct xtc_handle *h)    \
    {                                                                                              \
        return lib##_append_entry(chain, entry, h);                                                \
    }                                                                                              \
    static const struct tc lib##_calls = {                                                         \
        .init = lib##_init,                                                                        \
        .free = lib##_free,                                                                        \
        .commit = lib##_commit,                                                                    \
        .strerror = lib##_strerror,                                                                \
        .is_chain = lib##_is_chain,                                                                \
        .first_chain = lib##_first_chain,                                                          \
        .next_chain = lib##_next_chain,                                                            \
        .builtin = lib##_builtin,                                                                  \
        .first_rule = lib##_first,                                                                 \
        .next_rule = lib##_next,                                                                   \
        .target = lib##_target,                                                                    \
        .append = lib##_append,                                                                    \
        .delete_num = lib##_delete_num_entry,                                                      \
        .create = lib##_create_chain,                                                              \
        .flush = lib##_flush_entries,                                                              \
        .delete_chain = lib##_delete_chain,                                                        \
    }
TC(iptc);
TC(ip6tc);

static const struct tc *ops_of(int family)
{
    return family == 4 ? &iptc_calls : &ip6tc_calls;
}

/* libiptc takes labels as arrays of full size */
struct label {
    xt_chainlabel name;
};

static struct label label_of(const char *name)
{
    struct label l = {{0}};

    memcpy(l.name, name, strnlen(name, sizeof(l.name) - 1));
    return l;
}

/* ---- what exists ----------------------------------------------------------------------------- */

static void table_names(int family, struct buf *out)
{
    file_read(family == 4 ? "/proc/net/ip_tables_names" : "/proc/net/ip6_tables_names", NAMES_MAX,
              out, NULL);
}

static bool table_exists(int family, const char *table)
{
    struct buf names = BUF_INIT;
    struct slice rest;
    bool found = false;

    table_names(family, &names);
    rest = buf_slice(&names);
    while (rest.p && !found)
        found = slice_eq_str(slice_cut(&rest, '\n'), table);
    buf_free(&names);
    return found;
}

static struct xtc_handle *open_table(int family, const char *table, int *result, struct err *e)
{
    struct xtc_handle *h = ops_of(family)->init(table);
    int saved = errno;

    *result = BACKEND_OK;
    if (h)
        return h;
    *result = saved == EPERM || saved == EACCES ? BACKEND_FAILED : BACKEND_UNSUPPORTED;
    err_set(e, "IPv%d table %s (legacy): %s", family, table, ops_of(family)->strerror(saved));
    return NULL;
}

static bool is_own(const char *chain)
{
    enum chain c = chain_find(slice_str(chain));

    return c >= CHAIN_FIRST_OWN && c < CHAIN_COUNT;
}

static void read_chain(int family, const char *chain, struct xtc_handle *h, struct found *out)
{
    const struct tc *tc = ops_of(family);
    enum chain c = chain_find(slice_str(chain));

    if (is_own(chain))
        out->chain[c] = true;
    else if (!tc->builtin(chain, h))
        out->others = true;
    bool before = c < CHAIN_FIRST_OWN;

    for (const void *r = tc->first_rule(chain, h); r; r = tc->next_rule(r, h)) {
        const char *target = tc->target(r, h);
        enum entry_reach reach = entry_reach(r, family);
        struct rule rule;

        if (!is_own(chain) && !is_own(target)) {
            out->others = true;
            if (before && reach != ENTRY_NO_TCP)
                found_before(out, c, slice_str(target), reach == ENTRY_ALL_TCP, slice_str(target));
            continue;
        }
        before = false;
        if (c < CHAIN_COUNT && entry_decode(r, target, family, c, &rule) == 0)
            rules_add(&out->rules, &rule);
        else
            out->foreign++;
    }
}

static int read_any(int family, const char *table, struct found *out, struct err *e)
{
    const struct tc *tc = ops_of(family);
    struct xtc_handle *h;
    int result = BACKEND_OK;

    if (!table_exists(family, table))
        return BACKEND_OK;
    h = open_table(family, table, &result, e);
    if (!h)
        return result;
    for (const char *c = tc->first_chain(h); c; c = tc->next_chain(h))
        read_chain(family, c, h, out);
    tc->free(h);
    return BACKEND_OK;
}

static int legacy_read(int family, struct found *out, struct err *e)
{
    *out = (struct found){.rules.family = family};
    return read_any(family, "nat", out, e);
}

static bool legacy_in_use(int family)
{
    struct buf names = BUF_INIT;
    struct slice rest;
    struct found f = {0};

    table_names(family, &names);
    rest = buf_slice(&names);
    while (rest.p && !f.others) {
        struct slice name = slice_cut(&rest, '\n');
        char table[XT_TABLE_MAXNAMELEN];

        if (name.n == 0 || name.n >= sizeof(table))
            continue;
        memcpy(table, name.p, name.n);
        table[name.n] = '\0';
        read_any(family, table, &f, NULL);
    }
    buf_free(&names);
    found_free(&f);
    return f.others;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* is this jump one of keep's, and the first such? */
static bool keeps_jump(const void *entry, const char *target, const char *chain,
                       const struct rules *keep, bool kept[CHAIN_COUNT])
{
    enum chain c = chain_find(slice_str(chain));
    struct rule r;

    if (!keep || c >= CHAIN_COUNT || kept[c] ||
        entry_decode(entry, target, keep->family, c, &r) != 0)
        return false;
    for (unsigned i = 0; i < keep->n && !kept[c]; i++)
        kept[c] = rule_eq(&keep->v[i], &r);
    return kept[c];
}

/* Deleting ends the walk over a chain, so it begins anew each time; 1 if a rule went. */
static int delete_one_jump(int family, const char *chain, struct xtc_handle *h,
                           const struct rules *keep, bool kept[CHAIN_COUNT])
{
    const struct tc *tc = ops_of(family);
    unsigned n = 0;

    for (const void *r = tc->first_rule(chain, h); r; r = tc->next_rule(r, h), n++) {
        const char *target = tc->target(r, h);

        if (is_own(target) && !keeps_jump(r, target, chain, keep, kept))
            return tc->delete_num(label_of(chain).name, n, h) ? 1 : -1;
    }
    return 0;
}

/* Jumps into our chains from others' go, but for those that keep has too. */
static int delete_jumps(int family, struct xtc_handle *h, const struct rules *keep,
                        bool kept[CHAIN_COUNT])
{
    const struct tc *tc = ops_of(family);
    int rc = 0;

    for (const char *c = tc->first_chain(h); c && rc == 0; c = tc->next_chain(h)) {
        struct label chain = label_of(c);
        enum chain known = chain_find(slice_str(c));

        if (is_own(c))
            continue;
        do {
            if (known < CHAIN_COUNT)
                kept[known] = false;
            rc = delete_one_jump(family, chain.name, h, keep, kept);
        } while (rc == 1);
    }
    return rc;
}

static int empty_chains(int family, struct xtc_handle *h, bool create)
{
    const struct tc *tc = ops_of(family);

    for (enum chain c = CHAIN_FIRST_OWN; c < CHAIN_COUNT; c++) {
        struct label l = label_of(chain_name(c));

        if (tc->is_chain(l.name, h) ? !tc->flush(l.name, h) : create && !tc->create(l.name, h))
            return -1;
    }
    return 0;
}

static int append_rules(const struct rules *r, struct xtc_handle *h, const bool kept[CHAIN_COUNT])
{
    const struct tc *tc = ops_of(r->family);
    int ok = 1;

    for (unsigned i = 0; i < r->n && ok; i++) {
        struct label l = label_of(chain_name(r->v[i].chain));
        struct buf entry = BUF_INIT;

        if (kept[r->v[i].chain])
            continue;
        entry_encode(&r->v[i], r->family, &entry);
        ok = tc->append(l.name, entry.p, h);
        buf_free(&entry);
    }
    return ok ? 0 : -1;
}

static int put_rules(int family, const struct rules *r, struct xtc_handle *h)
{
    bool kept[CHAIN_COUNT] = {false};

    if (delete_jumps(family, h, r, kept) != 0 || empty_chains(family, h, true) != 0)
        return -1;
    return append_rules(r, h, kept);
}

static int drop_rules(int family, struct xtc_handle *h)
{
    const struct tc *tc = ops_of(family);
    bool kept[CHAIN_COUNT] = {false};

    if (delete_jumps(family, h, NULL, kept) != 0 || empty_chains(family, h, false) != 0)
        return -1;
    for (enum chain c = CHAIN_FIRST_OWN; c < CHAIN_COUNT; c++) {
        struct label l = label_of(chain_name(c));

        if (tc->is_chain(l.name, h) && !tc->delete_chain(l.name, h))
            return -1;
    }
    return 0;
}

/* One read, change and commit.  1 = somebody else committed meanwhile: do it again. */
static int change_once(int family, const struct rules *r, struct err *e)
{
    const struct tc *tc = ops_of(family);
    int result, saved;
    struct xtc_handle *h = open_table(family, "nat", &result, e);

    if (!h)
        return result;
    errno = 0;
    if ((r ? put_rules(family, r, h) : drop_rules(family, h)) == 0 && tc->commit(h)) {
        tc->free(h);
        return BACKEND_OK;
    }
    saved = errno;
    tc->free(h);
    if (saved == EAGAIN)
        return 1;
    err_set(e, "IPv%d table nat (legacy): %s", family, tc->strerror(saved));
    /* an unknown match or target: the kernel lacks its module */
    return saved == ENOENT || saved == EOPNOTSUPP ? BACKEND_UNSUPPORTED : BACKEND_FAILED;
}

static int change(int family, const struct rules *r, struct err *e)
{
    int rc = 1;

    for (int i = 0; i < COMMIT_TRIES && rc == 1; i++)
        rc = change_once(family, r, e);
    if (rc == 1) {
        err_set(e, "IPv%d table nat (legacy) was changed by somebody else %d times; try again",
                family, COMMIT_TRIES);
        return BACKEND_FAILED;
    }
    return rc;
}

static int legacy_apply(const struct rules *r, struct err *e)
{
    return change(r->family, r, e);
}

static int legacy_undo(int family, struct err *e)
{
    struct found f;
    int rc = legacy_read(family, &f, e);

    if (rc == BACKEND_OK && found_ours(&f))
        rc = change(family, NULL, e);
    found_free(&f);
    return rc;
}

const struct backend backend_legacy = {
    .name = "legacy",
    .save = "tables-legacy-save -t nat",
    .read = legacy_read,
    .apply = legacy_apply,
    .undo = legacy_undo,
    .in_use = legacy_in_use,
};
