/* loop_mem_test.c - what libevent keeps for descriptors lies apart from everything else. */
#include <stdlib.h>
#include <string.h>
#include "common/io/loop.h"
#include "common/io/loop_mem.h"
#include "test/unit/unit.h"

START_TEST(small_ones_lie_together_and_are_used_again)
{
    loop_mem_init();
    char *a = loop_mem_alloc(24), *between = malloc(24), *b = loop_mem_alloc(20);
    ck_assert(loop_mem_is_small(a) && loop_mem_is_small(b) && !loop_mem_is_small(between));
    ck_assert_int_lt(labs(a - b), 4096);
    loop_mem_free(a);
    ck_assert_ptr_eq(loop_mem_alloc(1), a);
    loop_mem_free(a);
    loop_mem_free(b);
    free(between);
}
END_TEST

START_TEST(one_that_grows_moves_with_what_it_holds)
{
    loop_mem_init();
    char *p = loop_mem_realloc(NULL, 16);
    ck_assert(loop_mem_is_small(p));
    memcpy(p, "fifteen letters", 16);
    ck_assert_ptr_eq(loop_mem_realloc(p, 24), p);
    p = loop_mem_realloc(p, 4000);
    ck_assert(!loop_mem_is_small(p));
    ck_assert_str_eq(p, "fifteen letters");
    p = loop_mem_realloc(p, 8000);
    ck_assert_str_eq(p, "fifteen letters");
    ck_assert_ptr_null(loop_mem_realloc(p, 0));
    loop_mem_free(NULL);
}
END_TEST

/* the next small one is not where the last was: libevent took some in between */
START_TEST(what_libevent_keeps_for_a_descriptor_is_one_of_them)
{
    struct err e;
    loop_mem_init();
    char *before = loop_mem_alloc(24);
    struct loop *l = loop_new(&e);
    ck_assert_ptr_nonnull(l);
    char *after = loop_mem_alloc(24);
    ck_assert_int_ge(labs(after - before), 4 * 24);
    loop_mem_free(before);
    loop_mem_free(after);
    loop_free(l);
}
END_TEST

UNIT_MAIN("loop_mem", small_ones_lie_together_and_are_used_again,
          one_that_grows_moves_with_what_it_holds,
          what_libevent_keeps_for_a_descriptor_is_one_of_them)
