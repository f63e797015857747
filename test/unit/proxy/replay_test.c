/* replay_test.c - every scenario of test/replay is one check.  REPLAY=name runs only those whose
 * file name contains it. */
/* objects: test/replay/runner.c test/replay/play.c test/replay/setup.c test/replay/script.c */
/* objects: test/replay/peer.c test/replay/h2_peer.c sidecar/document.c test/fake/clock.c */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "test/replay/runner.h"

#define WANTED_MAX 1000
static const char *wanted[WANTED_MAX];
static int n_wanted;

START_TEST(scenario)
{
    struct err e = {""};

    ck_assert_msg(replay_run(wanted[_i], NULL, &e) == 0, "%s", e.text);
}
END_TEST

/* a scenario that does not come true, or is none, is told with its line */
static const struct {
    const char *script, *says;
} faults[] = {
    {"\n# nothing\n\nserver a upp", ":4: expected up, down or full"},
    {"server a up; a dances", ":1: a server can only be idle, or accept NAME"},
    {"server a up\nserver b up \\\n\n\nc1 silent", ":5: nothing and nobody is called \"c1\""},
    {"server a up\nservice svc 80 smtp a\napply",
     ":3: document: Outbound.TrafficMatches.80.smtp.Protocol: expected"},
    {"time +5", ":1: expected a duration, not \"+5\""},
    {"limit idle 5s", ":1: no limit is called \"idle\""},
    {"listen 80; apply\nclient c1 connects 80; c1 silent", ":2: c1: expected nothing; there is"},
    {"listen 80; apply; client c1 connects 80\nstat reason.egress_refused = 2",
     ":2: expected reason.egress_refused = 2, it is 1"},
    {"server a up; service svc 80 tcp a; apply\nclient c1 connects 80\na idle",
     ":3: somebody connected to a"},
    {"service svc 80 tcp a", ":1: no server is called \"a\""},
    {"apply\ntime \"5s", ":2: a text without its closing quote"},
    {"server a up; service svc 80 tcp a; apply; client c1 connects 80\nc1 sends \"\\q\"",
     ":2: unknown escape in a text"},
};

START_TEST(what_is_wrong_is_told_with_its_line)
{
    char file[] = "/tmp/fsm-replay-XXXXXX", want[256];
    const char *script = faults[_i].script;
    struct err e = {""};
    int fd = mkstemp(file);

    ck_assert_int_eq(write(fd, script, strlen(script)), (ssize_t)strlen(script));
    close(fd);
    int rc = replay_run(file, NULL, &e);
    unlink(file);
    snprintf(want, sizeof want, "%s%s", file, faults[_i].says);
    ck_assert_int_eq(rc, -1);
    ck_assert_msg(strncmp(e.text, want, strlen(want)) == 0, "%s\nwanted %s", e.text, want);
}
END_TEST

static void choose(const glob_t *files)
{
    const char *only = getenv("REPLAY");

    for (size_t i = 0; i < files->gl_pathc && n_wanted < WANTED_MAX; i++)
        if (!only || strstr(files->gl_pathv[i], only))
            wanted[n_wanted++] = files->gl_pathv[i];
}

int main(void)
{
    Suite *s = suite_create("replay");
    TCase *tc = tcase_create("replay");
    glob_t files;
    SRunner *sr;
    int failed;

    if (glob("test/replay/*.replay", 0, NULL, &files) == 0)
        choose(&files);
    if (n_wanted == 0) {
        fprintf(stderr, "no scenario of that name in test/replay (run from the top of the tree)\n");
        return 1;
    }
    tcase_set_timeout(tc, 60); /* longer than what must come is awaited */
    tcase_add_loop_test(tc, what_is_wrong_is_told_with_its_line, 0,
                        (int)(sizeof faults / sizeof faults[0]));
    tcase_add_loop_test(tc, scenario, 0, n_wanted);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    globfree(&files);
    return failed ? 1 : 0;
}
