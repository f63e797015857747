/* replay_test.c - every scenario of test/replay is one check.  REPLAY=name runs only those whose
 * file name contains it. */
/* objects: test/replay/runner.c test/replay/play.c test/replay/setup.c test/replay/script.c */
/* objects: test/replay/peer.c test/replay/h2_peer.c sidecar/document.c test/fake/clock.c */
#include <check.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include "test/replay/runner.h"

static glob_t files;

START_TEST(scenario)
{
    const char *only = getenv("REPLAY"), *file = files.gl_pathv[_i];
    struct err e = {""};

    if (!only || strstr(file, only))
        ck_assert_msg(replay_run(file, &e) == 0, "%s", e.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("replay");
    TCase *tc = tcase_create("replay");
    SRunner *sr;
    int failed;

    if (glob("test/replay/*.replay", 0, NULL, &files) != 0)
        return 1;
    tcase_set_timeout(tc, 60); /* longer than what must come is awaited */
    tcase_add_loop_test(tc, scenario, 0, (int)files.gl_pathc);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    globfree(&files);
    return failed ? 1 : 0;
}
