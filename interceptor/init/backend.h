/* backend.h - the two ways to put rules into this network namespace, and which one to take.
 *
 * nft: the iptables syntax on nf_tables, one iptables-restore transaction per family.
 * legacy: ip_tables, one libiptc commit per family.
 * Rules of one are invisible to the other and both would apply, so there is only ever one: where
 * rules of ours (or else of somebody) are, that backend stays; on a fresh namespace it is nft if
 * this kernel has it.  Reading never creates a table.
 */
#ifndef FSM_INIT_BACKEND_H
#define FSM_INIT_BACKEND_H

#include <stdbool.h>

#include "interceptor/init/rules.h"

enum backend_result {
    BACKEND_OK = 0,
    BACKEND_FAILED = -1,
    BACKEND_UNSUPPORTED = -2, /* this kernel or image does not have it; nothing was changed */
};

/* what is in table nat of one family */
struct found {
    bool chain[CHAIN_COUNT]; /* our chains that exist */
    struct rules rules;      /* rules in them, and jumps from PREROUTING and OUTPUT into them */
    unsigned foreign;        /* of these, lines that fsm-init would not write */
    bool others;             /* there are rules or chains of somebody else */
    /* Somebody else's rules of PREROUTING and OUTPUT that are asked before our jump and can take
     * TCP connections away from it: how many, whether one takes them all, and the first of those
     * that weigh most, as text where the backend has it. */
    struct before {
        unsigned n;
        bool all;
        char text[200];
    } before[CHAIN_FIRST_OWN];
};
/* The backend's reader tells each rule of PREROUTING and OUTPUT that TCP can meet, in order, until
 * our jump.  target: its name; all: it has no other condition. */
void found_before(struct found *f, enum chain c, struct slice target, bool all, struct slice text);
bool found_ours(const struct found *f);
void found_free(struct found *f);

/* family is 4 or 6; results are enum backend_result with e filled unless BACKEND_OK */
struct backend {
    const char *name; /* as --backend takes it */
    const char *save; /* what a person types behind "ip" or "ip6" to see the rules */
    int (*read)(int family, struct found *out, struct err *e);
    /* replaces whatever is there of ours, all or nothing */
    int (*apply)(const struct rules *r, struct err *e);
    int (*undo)(int family, struct err *e);
    /* somebody (not us) has rules here, in any table */
    bool (*in_use)(int family);
};
extern const struct backend backend_nft, backend_legacy;

struct choice {
    const struct backend *backend;
    const struct backend *other; /* where to go if the first is unsupported; NULL = nowhere */
    const char *why;             /* static text for the log */
};
/* want: "auto", "nft" or "legacy".  -1 and e if rules of ours are in the wrong place. */
int backend_choose(const char *want, struct choice *out, struct err *e);
/* One fsm-init at a time looks at and changes a network namespace; the lock ends with the process.
 * -1 and e. */
int backend_lock(struct err *e);
/* rules of ours are in this backend, in either family */
bool backend_has_ours(const struct backend *b);

#endif
