/* the table of limits: sane, and what the manual says */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/limits.h"
#include "test/unit/unit.h"

START_TEST(every_default_is_one_that_may_be_set)
{
    struct view_limits l = limits_default;

    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        const struct limit_def *d = &limit_defs[i];
        uint32_t normal = *limit_at(&l, d);
        ck_assert_msg(normal >= d->least && normal <= d->most, "%s", d->key);
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(limit_defs[k].key, d->key);
    }
}
END_TEST

START_TEST(the_manual_names_each_with_its_default)
{
    struct view_limits l = limits_default;
    struct buf man = BUF_INIT;
    struct err e;

    ck_assert_msg(file_read("man/fsm-document.5", 1 << 20, &man, &e) == 0, "%s", e.text);
    buf_putc(&man, 0);
    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        char line[100];
        snprintf(line, sizeof line, "\n.It Ic %s No %u\n", limit_defs[i].key,
                 *limit_at(&l, &limit_defs[i]));
        ck_assert_msg(strstr(man.p, line) != NULL, "man/fsm-document.5 has no line \"%s\"",
                      line + 1);
    }
    buf_free(&man);
}
END_TEST

UNIT_MAIN("limits", every_default_is_one_that_may_be_set, the_manual_names_each_with_its_default)
