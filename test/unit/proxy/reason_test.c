/* reason_test.c - reasons: one word each, faults among them, all of them in the manual. */
#include <ctype.h>
#include <stdlib.h>
#include "common/base/file.h"
#include "common/proxy/reason.h"
#include "test/unit/unit.h"

START_TEST(every_reason_has_a_word_of_its_own)
{
    for (int a = 0; a < REASON_COUNT; a++) {
        const char *text = reason_text((enum reason)a);
        ck_assert_int_gt((int)strlen(text), 0);
        for (const char *p = text; *p; p++)
            ck_assert_msg(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_',
                          "%s", text);
        for (int b = 0; b < a; b++)
            ck_assert_str_ne(text, reason_text((enum reason)b));
    }
    ck_assert_str_eq(reason_text(REASON_COUNT), "");
    ck_assert_uint_eq(reason_status(REASON_COUNT), 0);
}
END_TEST

START_TEST(a_fault_is_a_reason_of_the_same_name_and_status)
{
    for (int f = 1; f < FAULT_COUNT; f++) {
        enum reason r = reason_of_fault(-f);
        ck_assert_str_eq(reason_text(r), http_fault_name(-f));
        ck_assert_uint_eq(reason_status(r), http_fault_status(-f));
        ck_assert_str_eq(reason_body(r), http_fault_name(-f));
        ck_assert_int_eq(reason_class(r), REASON_BY_DOWN);
    }
    ck_assert_int_eq(reason_of_fault(0), REASON_DOWN_PROTOCOL);
    ck_assert_int_eq(reason_of_fault(1), REASON_DOWN_PROTOCOL);
    ck_assert_int_eq(reason_of_fault(-FAULT_COUNT), REASON_DOWN_PROTOCOL);
}
END_TEST

/* the reasons of a request, that is: a fault that only a response has is told by another */
START_TEST(the_manual_has_them_all)
{
    struct buf text = BUF_INIT;
    struct err e;

    ck_assert_msg(file_read("man/fsm-sidecar.8", 1 << 20, &text, &e) == 0, "%s", e.text);
    for (int r = 0; r < REASON_COUNT; r++) {
        const char *word = reason_text((enum reason)r);
        size_t n = strlen(word);
        bool found = r >= (int)REASON_FAULT_LINE_END && reason_status((enum reason)r) == 502;
        for (const char *p = text.p; !found && (p = strstr(p, word)); p++)
            found = (p[-1] == ' ' || p[-1] == '\n') && !islower((unsigned char)p[n]) && p[n] != '_';
        ck_assert_msg(found, "man/fsm-sidecar.8 does not have %s", word);
    }
    buf_free(&text);
}
END_TEST

UNIT_MAIN("reason", every_reason_has_a_word_of_its_own,
          a_fault_is_a_reason_of_the_same_name_and_status, the_manual_has_them_all)
