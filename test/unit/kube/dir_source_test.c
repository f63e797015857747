/* dir_source_test.c - a real directory, real inotify: what reaches the store, when, and what is
 * kept while a file is broken.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/source.h"

#define WAIT_MS 30000 /* a bound for slow machines, not a measure */

static char dir[64];
static struct loop *loop;
static struct kube_store *store;
static struct kube_source *source;
static unsigned batches, added, changed, deleted;

static void on_change(const struct kube_object *old, const struct kube_object *now, void *arg)
{
    added += !old;
    deleted += !now;
    changed += old && now;
}

static void on_batch(struct kube_source *s, void *arg)
{
    batches++;
    loop_stop(loop);
}

static void on_timeout(void *arg)
{
    loop_stop(loop);
}

/* runs the loop until the next batch, at most ms */
static bool next_batch(uint64_t ms)
{
    struct timer t = {0};
    unsigned before = batches;
    timer_init(&t, loop, on_timeout, NULL);
    timer_set(&t, ms);
    loop_run(loop);
    timer_cancel(&t);
    return batches > before;
}

static void start(const char *path)
{
    struct err e = {""};
    store = kube_store_new();
    kube_store_on_change(store, on_change, NULL);
    source = kube_dir_source_new(loop, path, store, &e);
    ck_assert_msg(source != NULL, "%s", e.text);
    kube_source_on_batch(source, on_batch, NULL);
    ck_assert(!kube_source_synced(source));
    ck_assert(next_batch(WAIT_MS));
    ck_assert(kube_source_synced(source));
}

static char *in_dir(const char *name)
{
    static char path[8][256];
    static unsigned turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void put_map(const char *file, const char *name, const char *value)
{
    char text[512];
    snprintf(text, sizeof text,
             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {k: \"%s\"}\n", name,
             value);
    put(file, text);
}

static const char *value_of(const char *name)
{
    const struct kube_object *o = kube_store_get(store, "ConfigMap", "default", name);
    return o ? json_str(o->body, "data.k", "?") : "-";
}

static const char *problem(unsigned i)
{
    static char *text;
    const struct kube_problems *p = kube_source_problems(source);
    free(text);
    text = i < p->n ? kube_problem_text(&p->v[i]) : xstrdup("-");
    return text;
}

static void setup(void)
{
    struct err e;
    snprintf(dir, sizeof dir, "/tmp/kube-dir-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    loop = loop_new(&e);
    log_set_level(LOG_ERROR);
}

static void teardown(void)
{
    struct err e;
    kube_source_free(source);
    kube_store_free(store);
    loop_free(loop);
    file_remove_tree(dir, &e);
}

START_TEST(reads_what_is_there)
{
    put_map("a.yaml", "a", "1");
    put_map("b.yml", "b", "2");
    put("c.json", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": "
                  "\"c\"}, \"data\": {\"k\": \"3\"}}");
    put_map("ignored.txt", "d", "4");
    put_map(".hidden.yaml", "e", "5");
    put_map("backup.yaml~", "f", "6");
    ck_assert_int_eq(mkdir(in_dir("sub"), 0755), 0);
    put_map("sub/g.yaml", "g", "7");
    start(dir);
    ck_assert_uint_eq(kube_store_count(store, "ConfigMap"), 4);
    ck_assert_str_eq(value_of("a"), "1");
    ck_assert_str_eq(value_of("c"), "3");
    ck_assert_str_eq(value_of("g"), "7");
    ck_assert_uint_eq(kube_source_problems(source)->n, 0);
}
END_TEST

START_TEST(an_empty_directory_is_in_sync_too)
{
    start(dir);
    ck_assert_uint_eq(kube_store_count(store, "ConfigMap"), 0);
}
END_TEST

START_TEST(follows_changes)
{
    put_map("a.yaml", "a", "1");
    start(dir);
    put_map("a.yaml", "a", "2");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "2");
    put_map("new.yaml", "fresh", "1");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("fresh"), "1");
    unlink(in_dir("a.yaml"));
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "-");
    ck_assert_uint_eq(added, 2);
    ck_assert_uint_eq(changed, 1);
    ck_assert_uint_eq(deleted, 1);
}
END_TEST

START_TEST(a_rename_into_place_is_one_change)
{
    put_map("a.yaml", "a", "1");
    start(dir);
    put_map("tmp", "a", "2");
    ck_assert_int_eq(rename(in_dir("tmp"), in_dir("a.yaml")), 0);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "2");
    ck_assert_uint_eq(changed, 1);
    ck_assert_uint_eq(deleted, 0);
}
END_TEST

START_TEST(an_object_that_moves_to_another_file_is_never_absent)
{
    put_map("a.yaml", "a", "1");
    start(dir);
    ck_assert_int_eq(rename(in_dir("a.yaml"), in_dir("z.yaml")), 0);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_uint_eq(deleted, 0);
    ck_assert_uint_eq(added, 1);
    const struct kube_object *o = kube_store_get(store, "ConfigMap", "default", "a");
    ck_assert_str_eq(o->file, in_dir("z.yaml"));
}
END_TEST

START_TEST(new_directories_are_followed)
{
    start(dir);
    ck_assert_int_eq(mkdir(in_dir("one"), 0755), 0);
    ck_assert_int_eq(mkdir(in_dir("one/two"), 0755), 0);
    put_map("one/two/a.yaml", "a", "1");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "1");
    put_map("one/two/a.yaml", "a", "2");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "2");
    ck_assert_int_eq(rename(in_dir("one"), in_dir("uno")), 0);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "2");
    put_map("uno/two/a.yaml", "a", "3");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "3");
    struct err e;
    ck_assert_int_eq(file_remove_tree(in_dir("uno"), &e), 0);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "-");
}
END_TEST

/* As the kubelet writes a ConfigMap volume: a link to a link into a dated directory; an update
 * swaps the middle link. */
START_TEST(a_volume_swaps_its_data_link)
{
    ck_assert_int_eq(mkdir(in_dir("..v1"), 0755), 0);
    put_map("..v1/a.yaml", "a", "1");
    ck_assert_int_eq(symlink("..v1", in_dir("..data")), 0);
    ck_assert_int_eq(symlink("..data/a.yaml", in_dir("a.yaml")), 0);
    start(dir);
    ck_assert_str_eq(value_of("a"), "1");
    ck_assert_uint_eq(kube_store_count(store, "ConfigMap"), 1);
    ck_assert_int_eq(mkdir(in_dir("..v2"), 0755), 0);
    put_map("..v2/a.yaml", "a", "2");
    ck_assert_int_eq(symlink("..v2", in_dir("..data_tmp")), 0);
    ck_assert_int_eq(rename(in_dir("..data_tmp"), in_dir("..data")), 0);
    while (strcmp(value_of("a"), "2") != 0)
        ck_assert(next_batch(WAIT_MS));
    ck_assert_uint_eq(deleted, 0);
}
END_TEST

START_TEST(a_broken_document_keeps_its_last_good_version)
{
    put("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: \"1\"}\n---\n"
                  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {k: \"1\"}\n---\n"
                  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: \"1\"}\n");
    start(dir);
    /* a is refused but named, b changes, c is gone */
    put("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: 1}\n---\n"
                  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {k: \"2\"}\n");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "1");
    ck_assert_str_eq(value_of("b"), "2");
    ck_assert_str_eq(value_of("c"), "-");
    ck_assert_uint_eq(kube_source_problems(source)->n, 1);
    char want[256];
    snprintf(want, sizeof want,
             "%s/a.yaml:4: ConfigMap default/a: data[k]: got 1 (integer), expected a string: quote "
             "it",
             dir);
    ck_assert_str_eq(problem(0), want);
    /* a is no YAML any more and could have been anything: everything is kept */
    put("a.yaml", "apiVersion: v1\nkind: [\n");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "1");
    ck_assert_str_eq(value_of("b"), "2");
    /* repaired */
    put_map("a.yaml", "a", "3");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "3");
    ck_assert_str_eq(value_of("b"), "-");
    ck_assert_uint_eq(kube_source_problems(source)->n, 0);
}
END_TEST

static unsigned lines_with(const char *file, const char *word)
{
    struct buf text = BUF_INIT;
    struct err e;
    unsigned n = 0;
    ck_assert_int_eq(file_read(file, 1 << 20, &text, &e), 0);
    for (const char *p = text.p; p && (p = strstr(p, word)); p += strlen(word))
        n++;
    buf_free(&text);
    return n;
}

START_TEST(a_problem_is_logged_when_it_comes_and_when_it_goes)
{
    char log[128];
    snprintf(log, sizeof log, "%s/.log", dir);
    ck_assert_ptr_nonnull(freopen(log, "w", stderr));
    log_set_level(LOG_INFO);
    put("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: 1}\n");
    start(dir);
    /* the same problem, further down, is not news */
    put("a.yaml", "\n\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: 1}\n");
    next_batch(WAIT_MS);
    kube_source_refresh(source);
    next_batch(WAIT_MS);
    ck_assert_uint_eq(lines_with(log, "expected a string"), 1);
    put_map("a.yaml", "a", "1");
    next_batch(WAIT_MS);
    ck_assert_uint_eq(lines_with(log, "expected a string"), 2);
    ck_assert_uint_eq(lines_with(log, "no longer a problem"), 1);
}
END_TEST

START_TEST(an_unreadable_file_keeps_its_objects)
{
    put_map("a.yaml", "a", "1");
    start(dir);
    /* a directory cannot be read as a file even by root, but it is "gone"; a file that is too
     * large to accept is unreadable for everybody */
    ck_assert_int_eq(truncate(in_dir("a.yaml"), 65L << 20), 0);
    int fd = open(in_dir("a.yaml"), O_WRONLY);
    close(fd); /* truncate() alone is no close of a writer */
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "1");
    ck_assert_uint_eq(kube_source_problems(source)->n, 1);
    ck_assert_ptr_nonnull(strstr(problem(0), "what it held before is kept"));
    put_map("a.yaml", "a", "2");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "2");
    ck_assert_uint_eq(kube_source_problems(source)->n, 0);
}
END_TEST

START_TEST(the_first_of_two_files_wins)
{
    put_map("a.yaml", "x", "from a");
    put_map("b.yaml", "x", "from b");
    start(dir);
    ck_assert_str_eq(value_of("x"), "from a");
    ck_assert_uint_eq(kube_source_problems(source)->n, 1);
    char want[256];
    snprintf(want, sizeof want,
             "%s/b.yaml:1: ConfigMap default/x: defined before at %s/a.yaml:1; that one is used, "
             "remove one of them",
             dir, dir);
    ck_assert_str_eq(problem(0), want);
    /* one that comes later takes nothing over, whatever it is called */
    put_map("0.yaml", "x", "from 0");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("x"), "from a");
    ck_assert_uint_eq(kube_source_problems(source)->n, 2);
    put_map("a.yaml", "x", "again from a");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("x"), "again from a");
    unlink(in_dir("a.yaml"));
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("x"), "from 0");
    unlink(in_dir("0.yaml"));
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("x"), "from b");
    ck_assert_uint_eq(kube_source_problems(source)->n, 0);
    ck_assert_uint_eq(deleted, 0);
}
END_TEST

START_TEST(a_burst_is_one_batch)
{
    start(dir);
    for (unsigned i = 0; i < 50; i++) {
        char file[32], name[32];
        snprintf(file, sizeof file, "f%02u.yaml", i);
        snprintf(name, sizeof name, "m%02u", i);
        put_map(file, name, "1");
    }
    unsigned before = batches;
    ck_assert(next_batch(WAIT_MS));
    ck_assert_uint_eq(kube_store_count(store, "ConfigMap"), 50);
    ck_assert_uint_eq(batches, before + 1);
}
END_TEST

/* the loop runs on between the two */
static void turn_for(unsigned ms)
{
    for (uint64_t end = clock_mono_ms() + ms; clock_mono_ms() < end;)
        next_batch(1);
}

/* What seems to go may only have moved, to a file that is not written yet. */
START_TEST(an_object_that_moves_slowly_is_never_absent)
{
    put_map("a.yaml", "x", "1");
    start(dir);
    unsigned before = batches;
    unlink(in_dir("a.yaml"));
    turn_for(8);
    put_map("b.yaml", "x", "2");
    while (strcmp(value_of("x"), "2") != 0)
        ck_assert(next_batch(WAIT_MS));
    ck_assert_uint_eq(deleted, 0);
    ck_assert_uint_eq(batches, before + 1);
    unlink(in_dir("b.yaml"));
    ck_assert(next_batch(WAIT_MS));
    ck_assert_uint_eq(deleted, 1);
}
END_TEST

/* ... and one that only changes is let in while other files keep changing */
START_TEST(a_change_does_not_wait_for_quiet)
{
    start(dir);
    unsigned before = batches;
    for (unsigned i = 0; i < 40; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        put_map("a.yaml", "a", text);
        turn_for(5);
    }
    ck_assert_uint_ge(batches - before, 4); /* of 200 ms; one where it waits for quiet */
    while (strcmp(value_of("a"), "39") != 0)
        ck_assert(next_batch(WAIT_MS));
}
END_TEST

START_TEST(nothing_new_is_told_once_at_most)
{
    put_map("a.yaml", "a", "1");
    start(dir);
    put_map("a.yaml", "a", "1"); /* written again, the same */
    next_batch(500);
    ck_assert_uint_eq(added, 1);
    ck_assert_uint_eq(changed, 0);
}
END_TEST

/* A writer that takes its time: what it has written so far is not looked at. */
START_TEST(a_file_counts_when_its_writer_is_done)
{
    put_map("a.yaml", "a", "1");
    start(dir);
    FILE *f = fopen(in_dir("a.yaml"), "w");
    fputs("apiVersion: v1\nkind: ConfigMap\n", f);
    fflush(f);
    next_batch(300);
    ck_assert_str_eq(value_of("a"), "1");
    ck_assert_uint_eq(kube_source_problems(source)->n, 0);
    fputs("metadata: {name: a}\ndata: {k: \"2\"}\n", f);
    fclose(f);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "2");
    ck_assert_uint_eq(deleted, 0);
}
END_TEST

/* More events than the kernel keeps for us: the walk finds what they would have told. */
START_TEST(lost_events_do_no_harm)
{
    start(dir);
    for (unsigned i = 0; i < 20000; i++) {
        int fd = open(in_dir(i % 2 ? "a.txt" : "b.txt"), O_WRONLY | O_CREAT, 0644);
        close(fd);
    }
    put_map("late.yaml", "late", "1");
    while (strcmp(value_of("late"), "1") != 0)
        ck_assert(next_batch(WAIT_MS));
    put_map("late.yaml", "late", "2");
    while (strcmp(value_of("late"), "2") != 0)
        ck_assert(next_batch(WAIT_MS));
}
END_TEST

START_TEST(links_to_directories_are_followed_but_not_in_circles)
{
    ck_assert_int_eq(mkdir(in_dir(".real"), 0755), 0);
    put_map(".real/a.yaml", "a", "1");
    start(dir);
    ck_assert_str_eq(value_of("a"), "-");
    ck_assert_int_eq(symlink(".real", in_dir("link")), 0);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "1");
    ck_assert_int_eq(symlink("..", in_dir(".real/up")), 0);
    kube_source_refresh(source);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "1");
    ck_assert_uint_eq(kube_source_problems(source)->n, 0);
    unlink(in_dir(".real/up"));
    unlink(in_dir("link"));
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "-");
    ck_assert_uint_eq(kube_source_problems(source)->n, 0);
}
END_TEST

/* "current" leads to a release, as deployment tools switch it */
START_TEST(a_watched_directory_may_be_a_link_that_is_switched)
{
    ck_assert_int_eq(mkdir(in_dir("r1"), 0755), 0);
    ck_assert_int_eq(mkdir(in_dir("r2"), 0755), 0);
    put_map("r1/a.yaml", "a", "1");
    put_map("r2/a.yaml", "a", "2");
    ck_assert_int_eq(symlink("r1", in_dir("current")), 0);
    start(in_dir("current"));
    ck_assert_str_eq(value_of("a"), "1");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(symlink(i % 2 ? "r1" : "r2", in_dir("new")), 0);
        ck_assert_int_eq(rename(in_dir("new"), in_dir("current")), 0);
        while (strcmp(value_of("a"), i % 2 ? "1" : "2") != 0)
            ck_assert(next_batch(WAIT_MS));
    }
    put_map("r2/a.yaml", "a", "3");
    while (strcmp(value_of("a"), "3") != 0)
        ck_assert(next_batch(WAIT_MS));
}
END_TEST

START_TEST(a_link_leads_to_a_file_elsewhere)
{
    ck_assert_int_eq(mkdir(in_dir("watched"), 0755), 0);
    ck_assert_int_eq(mkdir(in_dir("elsewhere"), 0755), 0);
    put_map("elsewhere/t", "a", "1");
    ck_assert_int_eq(symlink("t", in_dir("elsewhere/middle")), 0);
    ck_assert_int_eq(symlink("../elsewhere/middle", in_dir("watched/a.yaml")), 0);
    start(in_dir("watched"));
    ck_assert_str_eq(value_of("a"), "1");
    put_map("elsewhere/t", "a", "2");
    while (strcmp(value_of("a"), "2") != 0)
        ck_assert(next_batch(WAIT_MS));
    put_map("elsewhere/u", "a", "3");
    ck_assert_int_eq(symlink("u", in_dir("elsewhere/new")), 0);
    ck_assert_int_eq(rename(in_dir("elsewhere/new"), in_dir("elsewhere/middle")), 0);
    while (strcmp(value_of("a"), "3") != 0)
        ck_assert(next_batch(WAIT_MS));
    unlink(in_dir("watched/a.yaml"));
    while (strcmp(value_of("a"), "-") != 0)
        ck_assert(next_batch(WAIT_MS));
}
END_TEST

START_TEST(two_paths_are_one_source)
{
    ck_assert_int_eq(mkdir(in_dir("one"), 0755), 0);
    ck_assert_int_eq(mkdir(in_dir("two"), 0755), 0);
    put_map("one/b.yaml", "x", "one");
    put_map("two/a.yaml", "x", "two");
    struct err e = {""};
    const char *paths[] = {in_dir("two"), in_dir("one")};
    store = kube_store_new();
    kube_store_on_change(store, on_change, NULL);
    source = kube_paths_source_new(loop, paths, 2, store, &e);
    ck_assert_msg(source != NULL, "%s", e.text);
    kube_source_on_batch(source, on_batch, NULL);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("x"), "two"); /* the path given first wins, whatever its name */
    ck_assert_uint_eq(kube_source_problems(source)->n, 1);
    unlink(in_dir("two/a.yaml"));
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("x"), "one");
    ck_assert_uint_eq(deleted, 0);
}
END_TEST

START_TEST(a_single_file_is_a_source)
{
    put_map("a.yaml", "a", "1");
    put_map("b.yaml", "b", "1");
    start(in_dir("a.yaml"));
    ck_assert_uint_eq(kube_store_count(store, "ConfigMap"), 1);
    put_map("tmp", "a", "2");
    ck_assert_int_eq(rename(in_dir("tmp"), in_dir("a.yaml")), 0);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "2");
}
END_TEST

/* of the kinds that are many, only what is used */
START_TEST(pods_are_packed)
{
    put("a.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {nodeName: node-1, containers: "
        "[{name: c, image: i, command: [run]}]}\nstatus: {podIP: 10.0.0.1}\n");
    start(dir);
    const struct kube_object *o = kube_store_get(store, "Pod", "default", "p");
    ck_assert_ptr_nonnull(o);
    ck_assert_ptr_null(o->body);
    json_t *spec = kube_object_at(o, "spec"), *ip = kube_object_at(o, "status.podIP");
    ck_assert_str_eq(json_string_value(ip), "10.0.0.1");
    ck_assert_ptr_nonnull(json_object_get(spec, "containers"));
    ck_assert_ptr_null(json_object_get(spec, "nodeName"));
    json_decref(spec);
    json_decref(ip);
}
END_TEST

START_TEST(a_missing_path_is_an_error)
{
    struct err e = {""};
    store = kube_store_new();
    source = kube_dir_source_new(loop, in_dir("nowhere"), store, &e);
    ck_assert_ptr_null(source);
    ck_assert_ptr_nonnull(strstr(e.text, "nowhere: No such file or directory"));
}
END_TEST

START_TEST(a_vanished_directory_keeps_everything)
{
    put_map("a.yaml", "a", "1");
    start(dir);
    char away[128];
    snprintf(away, sizeof away, "%s-away", dir);
    ck_assert_int_eq(rename(dir, away), 0);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "1");
    ck_assert_uint_ge(kube_source_problems(source)->n, 1);
    ck_assert_int_eq(rename(away, dir), 0);
    put_map("a.yaml", "a", "2");
    ck_assert(next_batch(WAIT_MS));
    ck_assert_str_eq(value_of("a"), "2");
    ck_assert_uint_eq(kube_source_problems(source)->n, 0);
}
END_TEST

START_TEST(refresh_looks_again)
{
    put_map("a.yaml", "a", "1");
    start(dir);
    kube_source_refresh(source);
    ck_assert(next_batch(WAIT_MS));
    ck_assert_uint_eq(changed + deleted, 0);
}
END_TEST

START_TEST(ten_thousand_files)
{
    enum { N = 10000 };
    for (unsigned i = 0; i < N; i++) {
        char file[32], name[32];
        snprintf(file, sizeof file, "f%05u.yaml", (i * 7919u) % N);
        snprintf(name, sizeof name, "m%05u", (i * 7919u) % N);
        put_map(file, name, "1");
    }
    uint64_t began = clock_mono_ms();
    start(dir);
    uint64_t first = clock_mono_ms() - began;
    ck_assert_uint_eq(kube_store_count(store, "ConfigMap"), N);
    began = clock_mono_ms();
    put_map("f00007.yaml", "m00007", "2");
    ck_assert(next_batch(WAIT_MS));
    uint64_t one = clock_mono_ms() - began;
    ck_assert_str_eq(value_of("m00007"), "2");
    printf("%u files: first pass %lu ms, one change %lu ms\n", N, (unsigned long)first,
           (unsigned long)one);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dir_source");
    TCase *t = tcase_create("dir_source");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, reads_what_is_there);
    tcase_add_test(t, an_empty_directory_is_in_sync_too);
    tcase_add_test(t, follows_changes);
    tcase_add_test(t, a_rename_into_place_is_one_change);
    tcase_add_test(t, an_object_that_moves_to_another_file_is_never_absent);
    tcase_add_test(t, new_directories_are_followed);
    tcase_add_test(t, a_volume_swaps_its_data_link);
    tcase_add_test(t, a_broken_document_keeps_its_last_good_version);
    tcase_add_test(t, a_problem_is_logged_when_it_comes_and_when_it_goes);
    tcase_add_test(t, an_unreadable_file_keeps_its_objects);
    tcase_add_test(t, the_first_of_two_files_wins);
    tcase_add_test(t, a_burst_is_one_batch);
    tcase_add_test(t, an_object_that_moves_slowly_is_never_absent);
    tcase_add_test(t, a_change_does_not_wait_for_quiet);
    tcase_add_test(t, nothing_new_is_told_once_at_most);
    tcase_add_test(t, a_file_counts_when_its_writer_is_done);
    tcase_add_test(t, lost_events_do_no_harm);
    tcase_add_test(t, links_to_directories_are_followed_but_not_in_circles);
    tcase_add_test(t, a_watched_directory_may_be_a_link_that_is_switched);
    tcase_add_test(t, a_link_leads_to_a_file_elsewhere);
    tcase_add_test(t, two_paths_are_one_source);
    tcase_add_test(t, a_single_file_is_a_source);
    tcase_add_test(t, pods_are_packed);
    tcase_add_test(t, a_missing_path_is_an_error);
    tcase_add_test(t, a_vanished_directory_keeps_everything);
    tcase_add_test(t, refresh_looks_again);
    tcase_add_test(t, ten_thousand_files);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
