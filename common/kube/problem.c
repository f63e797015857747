/* problem.c - problems that stay, come and go: sorted, compared, logged once. */
#include "common/kube/problem.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/log.h"
#include "common/base/table.h"

#define LOGGED_MAX 100 /* problems logged at once */

void kube_problems_append(struct kube_problems *to, const struct kube_problems *from)
{
    for (unsigned i = 0; i < from->n; i++) {
        const struct kube_problem *p = &from->v[i];
        kube_problems_add(to, p->file, p->line, p->object, p->field, "%s", p->message);
        if (to->n > 0)
            to->v[to->n - 1].column = p->column;
    }
}

static int compare_problems(const void *a, const void *b)
{
    const struct kube_problem *x = a, *y = b;
    int c = strcmp(x->file, y->file);
    c = c ? c : (x->line > y->line) - (x->line < y->line);
    c = c ? c : strcmp(x->field, y->field);
    return c ? c : strcmp(x->message, y->message);
}

/* what makes a problem the same one after lines were inserted above it */
static void problem_key(const struct kube_problem *p, struct buf *out)
{
    buf_clear(out);
    buf_printf(out, "%s\n%s\n%s\n%s", p->file, p->object, p->field, p->message);
}

static struct table *problem_set(const struct kube_problems *p)
{
    struct table *t = table_new(NULL);
    struct buf key = BUF_INIT;
    for (unsigned i = 0; i < p->n; i++) {
        problem_key(&p->v[i], &key);
        table_put(t, buf_slice(&key), &p->v[i]);
    }
    buf_free(&key);
    return t;
}

/* logs what of a is not in b; returns how many */
static unsigned log_difference(const struct kube_problems *a, const struct kube_problems *b,
                               bool appeared)
{
    struct table *in_b = problem_set(b);
    struct buf key = BUF_INIT;
    unsigned n = 0;
    for (unsigned i = 0; i < a->n; i++) {
        problem_key(&a->v[i], &key);
        if (table_get(in_b, buf_slice(&key)) || ++n > LOGGED_MAX)
            continue;
        char *text = kube_problem_text(&a->v[i]);
        if (appeared)
            log_warn("kube", "%s", text);
        else
            log_info("kube", "no longer a problem: %s", text);
        free(text);
    }
    if (n > LOGGED_MAX)
        log_warn("kube", "and more of the same count=%u", n - LOGGED_MAX);
    buf_free(&key);
    table_free(in_b);
    return n;
}

bool kube_problems_renew(struct kube_problems *have, struct kube_problems now)
{
    if (now.n > 0)
        qsort(now.v, now.n, sizeof *now.v, compare_problems);
    unsigned gone = log_difference(have, &now, false);
    unsigned came = log_difference(&now, have, true);
    kube_problems_free(have);
    *have = now;
    return gone + came > 0;
}
