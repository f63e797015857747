/* nft.c - rules in nf_tables, through the iptables-nft programs: what they wrote, the iptables
 * command shows.  One transaction per family. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "interceptor/init/backend.h"
#include "interceptor/init/tool.h"

static const char *restore_name(int family)
{
    return family == 4 ? "iptables-nft-restore" : "ip6tables-nft-restore";
}

static const char *save_name(int family)
{
    return family == 4 ? "iptables-nft-save" : "ip6tables-nft-save";
}

/* What the programs say when the kernel lacks nf_tables, its IPv6 half, nat or one of the
 * expressions that the rules need; they have no exit status for it. */
static bool says_unsupported(const char *complaint)
{
    static const char *const words[] = {
        "Protocol not supported",       "Operation not supported",
        "Address family not supported", "Could not fetch rule set generation id: Invalid argument",
        "Table does not exist",         "No such file or directory",
        "Failed to initialize nft"};

    for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strstr(complaint, words[i]))
            return true;
    return false;
}

/* the complaint as one line */
static const char *flat(struct buf *complaint)
{
    buf_puts(complaint, "");
    for (char *c = complaint->p; *c; c++)
        if (*c == '\n')
            *c = c[1] ? ';' : '\0';
    return complaint->p;
}

static int verdict(int status, const char *program, struct buf *complaint, struct err *e)
{
    if (status == 0)
        return BACKEND_OK;
    if (status == TOOL_MISSING)
        return BACKEND_UNSUPPORTED;
    if (status < 0)
        return BACKEND_FAILED;
    err_set(e, "%s: %.700s", program, flat(complaint));
    return says_unsupported(complaint->p) ? BACKEND_UNSUPPORTED : BACKEND_FAILED;
}

/* said with status 0 in place of the table */
static bool hides_something(struct buf *text)
{
    buf_puts(text, "");
    return strstr(text->p, "is incompatible, use 'nft' tool") != NULL;
}

static int save(int family, const char *table, struct buf *out, struct err *e)
{
    const char *const argv[] = {save_name(family), table ? "-t" : NULL, table, NULL};
    struct buf complaint = BUF_INIT;
    int rc = tool_run(argv, (struct slice){NULL, 0}, out, &complaint, e);

    rc = verdict(rc, argv[0], &complaint, e);
    if (rc == BACKEND_OK && (hides_something(out) || hides_something(&complaint))) {
        err_set(e,
                "%s cannot show all of what is in this network namespace: somebody made a table "
                "%s with nft whose sets or maps iptables does not know; fsm-init cannot work "
                "beside it: put those rules into a table of another name",
                argv[0], table ? table : "of iptables' names");
        rc = BACKEND_FAILED;
    }
    buf_free(&complaint);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* the word behind option key in a rule's line */
static struct slice option_of(struct slice line, const char *key)
{
    while (line.p)
        if (slice_eq_str(slice_cut(&line, ' '), key))
            return slice_cut(&line, ' ');
    return (struct slice){NULL, 0};
}

static bool is_own(enum chain c)
{
    return c >= CHAIN_FIRST_OWN && c < CHAIN_COUNT;
}

/* a rule that leads from somebody else's chain into one of ours */
static bool is_jump_to_us(struct slice line)
{
    struct slice target = option_of(line, "-j");

    if (!target.p)
        target = option_of(line, "-g");
    return !is_own(chain_find(option_of(line, "-A"))) && is_own(chain_find(target));
}

/* our jump of that chain has been read */
static bool jumped(const struct found *f, enum chain c)
{
    for (unsigned i = 0; i < f->rules.n; i++)
        if (f->rules.v[i].chain == c)
            return true;
    return false;
}

/* "-A CHAIN -j X" or "-A CHAIN -p tcp -j X": no condition but the protocol */
static bool takes_all(struct slice line)
{
    unsigned words = 0;

    slice_cut(&line, ' ');
    slice_cut(&line, ' ');
    while (line.p && words++ < 2) {
        struct slice word = slice_cut(&line, ' ');

        if (slice_eq_str(word, "-j"))
            return true;
        if (!slice_eq_str(word, "-p"))
            return false;
        slice_cut(&line, ' ');
    }
    return false;
}

static void read_other(struct slice line, enum chain c, struct found *out)
{
    struct slice protocol = option_of(line, "-p");

    if (!protocol.p || slice_eq_str(protocol, "tcp"))
        found_before(out, c, option_of(line, "-j"), takes_all(line), line);
}

static void read_rule(struct slice line, struct found *out)
{
    struct rule r;

    enum chain c = chain_find(option_of(line, "-A"));

    if (!is_own(c) && !is_jump_to_us(line)) {
        out->others = true;
        if (c < CHAIN_FIRST_OWN && !jumped(out, c))
            read_other(line, c, out);
        return;
    }
    if (rule_parse(line, &r) == 0)
        rules_add(&out->rules, &r);
    else
        out->foreign++;
}

/* ":CHAIN POLICY [packets:bytes]" */
static void read_chain(struct slice line, struct found *out)
{
    struct slice name = slice_cut(&line, ' ');
    enum chain c;

    name = slice_of(name.p + 1, name.n - 1);
    c = chain_find(name);
    if (is_own(c))
        out->chain[c] = true;
    else if (slice_eq_str(slice_cut(&line, ' '), "-"))
        out->others = true; /* a chain without a policy was made by somebody */
}

static void read_table(struct slice text, struct found *out)
{
    while (text.p) {
        struct slice line = slice_trim(slice_cut(&text, '\n'));

        if (line.n > 1 && line.p[0] == ':')
            read_chain(line, out);
        else if (slice_starts(line, SLICE_LIT("-A ")))
            read_rule(line, out);
    }
}

static int nft_read(int family, struct found *out, struct err *e)
{
    struct buf text = BUF_INIT;
    int rc = save(family, "nat", &text, e);

    *out = (struct found){.rules.family = family};
    if (rc == BACKEND_OK)
        read_table(buf_slice(&text), out);
    if (rc == BACKEND_OK && strstr(text.p ? text.p : "", "contains incompatible base-chains"))
        for (enum chain c = 0; c < CHAIN_FIRST_OWN; c++)
            found_before(out, c, SLICE_LIT("chain"), false,
                         SLICE_LIT("chains made with nft, which 'nft list ruleset' shows"));
    buf_free(&text);
    return rc;
}

static bool nft_in_use(int family)
{
    struct found f = {0};
    struct buf text = BUF_INIT;

    if (save(family, NULL, &text, NULL) == BACKEND_OK)
        read_table(buf_slice(&text), &f);
    buf_free(&text);
    found_free(&f);
    return f.others;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int restore(int family, const struct buf *text, struct err *e)
{
    const char *const argv[] = {restore_name(family), "--noflush", NULL};
    struct buf out = BUF_INIT, complaint = BUF_INIT;
    int rc = verdict(tool_run(argv, buf_slice(text), &out, &complaint, e), argv[0], &complaint, e);

    buf_free(&out);
    buf_free(&complaint);
    return rc;
}

/* A jump that is as we would write it, and the only one of its chain, stays where it is among
 * other people's rules; all others go. */
static void delete_jumps(struct slice saved, const struct rules *keep, struct buf *out,
                         bool kept[CHAIN_COUNT])
{
    while (saved.p) {
        struct slice line = slice_trim(slice_cut(&saved, '\n'));
        struct rule r;

        if (!slice_starts(line, SLICE_LIT("-A ")) || !is_jump_to_us(line))
            continue;
        if (keep && rule_parse(line, &r) == 0 && !kept[r.chain]) {
            for (unsigned i = 0; i < keep->n && !kept[r.chain]; i++)
                kept[r.chain] = rule_eq(&keep->v[i], &r);
            if (kept[r.chain])
                continue;
        }
        buf_printf(out, "-D%.*s\n", SLICE_FMT(slice_of(line.p + 2, line.n - 2)));
    }
}

/* declaring a chain creates it, or empties the one that is there */
static int nft_apply(const struct rules *r, struct err *e)
{
    struct buf saved = BUF_INIT, text = BUF_INIT;
    bool kept[CHAIN_COUNT] = {false};
    int rc = save(r->family, "nat", &saved, e);

    if (rc == BACKEND_OK) {
        buf_puts(&text, "*nat\n");
        for (enum chain c = CHAIN_FIRST_OWN; c < CHAIN_COUNT; c++)
            buf_printf(&text, ":%s - [0:0]\n", chain_name(c));
        delete_jumps(buf_slice(&saved), r, &text, kept);
        for (unsigned i = 0; i < r->n; i++) {
            if (kept[r->v[i].chain])
                continue;
            rule_print(&r->v[i], &text);
            buf_putc(&text, '\n');
        }
        buf_puts(&text, "COMMIT\n");
        rc = restore(r->family, &text, e);
    }
    buf_free(&saved);
    buf_free(&text);
    return rc;
}

static void delete_chains(const struct found *f, const char *option, struct buf *out)
{
    for (enum chain c = CHAIN_FIRST_OWN; c < CHAIN_COUNT; c++)
        if (f->chain[c])
            buf_printf(out, "%s %s\n", option, chain_name(c));
}

static int nft_undo(int family, struct err *e)
{
    struct buf saved = BUF_INIT, text = BUF_INIT;
    struct found f = {0};
    int rc = save(family, "nat", &saved, e);

    if (rc == BACKEND_OK)
        read_table(buf_slice(&saved), &f);
    if (found_ours(&f)) {
        buf_puts(&text, "*nat\n");
        delete_jumps(buf_slice(&saved), NULL, &text, (bool[CHAIN_COUNT]){false});
        delete_chains(&f, "-F", &text);
        delete_chains(&f, "-X", &text);
        buf_puts(&text, "COMMIT\n");
        rc = restore(family, &text, e);
    }
    found_free(&f);
    buf_free(&saved);
    buf_free(&text);
    return rc;
}

const struct backend backend_nft = {
    .name = "nft",
    .save = "tables-nft-save -t nat",
    .read = nft_read,
    .apply = nft_apply,
    .undo = nft_undo,
    .in_use = nft_in_use,
};
