/* backend.c - which backend: what is there already decides, and stays decided. */
#include "interceptor/init/backend.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

bool found_ours(const struct found *f)
{
    for (enum chain c = CHAIN_FIRST_OWN; c < CHAIN_COUNT; c++)
        if (f->chain[c])
            return true;
    return false;
}

static bool is_one_of(struct slice word, const char *const *words)
{
    while (*words && !slice_eq_str(word, *words))
        words++;
    return *words;
}

void found_before(struct found *f, enum chain c, struct slice target, bool all, struct slice text)
{
    static const char *const goes_on[] = {"LOG", "NFLOG", "MARK",        "CONNMARK", "TRACE", "TTL",
                                          "CT",  "SET",   "CONNSECMARK", "AUDIT",    "",      NULL};
    static const char *const ends[] = {"ACCEPT", "RETURN", "DROP",    "DNAT", "REDIRECT",
                                       "NETMAP", "QUEUE",  "NFQUEUE", NULL};
    struct before *b = &f->before[c];

    if (is_one_of(target, goes_on))
        return;
    all = all && is_one_of(target, ends); /* what a chain of somebody's does is not looked into */
    if (b->n++ == 0 || (all && !b->all))
        snprintf(b->text, sizeof(b->text), "%.*s", SLICE_FMT(text));
    b->all |= all;
}

void found_free(struct found *f)
{
    rules_free(&f->rules);
}

bool backend_has_ours(const struct backend *b)
{
    bool ours = false;

    for (int family = 4; family <= 6 && !ours; family += 2) {
        struct found f = {0};

        ours = b->read(family, &f, NULL) == BACKEND_OK && found_ours(&f);
        found_free(&f);
    }
    return ours;
}

int backend_lock(struct err *e)
{
    /* the namespace itself is the one thing that all who share it have in common */
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        return err_errno(e, "cannot lock the network namespace");
    return 0;
}

static bool in_use(const struct backend *b)
{
    return b->in_use(4) || b->in_use(6);
}

static int take(struct choice *out, const struct backend *b, const struct backend *other,
                const char *why)
{
    *out = (struct choice){b, other, why};
    return 0;
}

static int take_named(const char *want, bool nft, bool legacy, struct choice *out, struct err *e)
{
    const struct backend *b = strcmp(want, "nft") == 0 ? &backend_nft : &backend_legacy;
    bool elsewhere = b == &backend_nft ? legacy : nft;

    if (elsewhere)
        return err_set(e,
                       "--backend %s: this network namespace has fsm's rules in the other "
                       "backend, and both would apply; run \"fsm-init --undo\" first, or leave "
                       "--backend out",
                       b->name);
    return take(out, b, NULL, "asked for by --backend");
}

int backend_choose(const char *want, struct choice *out, struct err *e)
{
    bool nft = backend_has_ours(&backend_nft), legacy = backend_has_ours(&backend_legacy);

    if (nft && legacy)
        return err_set(e, "fsm's rules are in both backends of this network namespace, so that "
                          "exclusions do not hold; run \"fsm-init --undo\", then again");
    if (strcmp(want, "auto") != 0)
        return take_named(want, nft, legacy, out, e);
    if (nft)
        return take(out, &backend_nft, NULL, "fsm's rules are there already");
    if (legacy)
        return take(out, &backend_legacy, NULL, "fsm's rules are there already");
    if (!in_use(&backend_nft) && in_use(&backend_legacy))
        return take(out, &backend_legacy, NULL, "somebody's rules are there already");
    return take(out, &backend_nft, &backend_legacy, "preferred where the kernel has it");
}
