/* unit.h - what every unit test's main would repeat.
 *
 *   START_TEST(adds) { ck_assert_int_eq(1 + 1, 2); } END_TEST
 *   UNIT_MAIN("sums", adds, ...)
 *
 * CK_FORK=no runs the checks in one process, for a debugger.
 */
#ifndef FSM_TEST_UNIT_H
#define FSM_TEST_UNIT_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

static inline int unit_run(const char *name, const TTest *const *tests, size_t n)
{
    Suite *s = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *sr;
    int failed;

    for (size_t i = 0; i < n; i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}

#define UNIT_MAIN(name, ...)                                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        return unit_run(name, tests, sizeof(tests) / sizeof(tests[0]));                            \
    }

/* A small deterministic generator (xorshift64*), so that a failing run can be repeated. */
static inline uint64_t unit_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

#endif
