/* file_test.c - bounded reads, atomic writes, trees. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/file.h"
#include "test/unit/unit.h"

/* each check works in a directory of its own, and begins and ends there */
static char dir[] = "/tmp/fsm-file-test-XXXXXX";

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chdir(dir), 0);
}

static void leave(void)
{
    struct err e;

    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_msg(file_remove_tree(dir, &e) == 0, "%s", e.text);
    ck_assert_int_eq(access(dir, F_OK), -1);
}

static unsigned entries(const char *path)
{
    DIR *d = opendir(path);
    unsigned n = 0;

    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

START_TEST(writes_and_reads_back)
{
    struct buf b = BUF_INIT;
    struct stat st;
    struct err e;

    enter();
    umask(077);
    ck_assert_int_eq(file_write("x", "hello", 5, 0644, &e), 0);
    ck_assert_int_eq(stat("x", &st), 0);
    ck_assert_msg((st.st_mode & 07777) == 0644, "the umask has no say");
    buf_puts(&b, ">");
    ck_assert_int_eq(file_read("x", 5, &b, &e), 0);
    ck_assert_str_eq(b.p, ">hello");
    ck_assert_int_eq(file_write("x", "", 0, 0600, &e), 0);
    buf_clear(&b);
    ck_assert_int_eq(file_read("x", 0, &b, &e), 0);
    ck_assert_str_eq(b.p, "");
    ck_assert_msg(entries(".") == 1, "no temporary file stays");
    buf_free(&b);
    leave();
}
END_TEST

START_TEST(reading_is_bounded)
{
    struct buf b = BUF_INIT;
    struct err e;

    enter();
    ck_assert_int_eq(file_write("x", "123456", 6, 0600, &e), 0);
    buf_puts(&b, "kept");
    ck_assert_int_eq(file_read("x", 5, &b, &e), -1);
    ck_assert_str_eq(b.p, "kept");
    ck_assert_msg(strstr(e.text, "x: larger than the 5 bytes") != NULL, "%s", e.text);
    ck_assert_int_eq(file_read("/dev/zero", 100000, &b, &e), -1);
    ck_assert_int_eq(file_read("none", 5, &b, &e), -1);
    ck_assert_str_eq(e.text, "opening none: No such file or directory");
    ck_assert_int_eq(file_read(".", 5, &b, &e), -1);
    ck_assert_str_eq(b.p, "kept");
    buf_free(&b);
    leave();
}
END_TEST

START_TEST(a_failed_write_changes_nothing)
{
    struct buf b = BUF_INIT;
    struct err e;

    enter();
    ck_assert_int_eq(file_write("none/x", "1", 1, 0600, &e), -1);
    ck_assert_msg(strstr(e.text, "none/x") != NULL, "%s", e.text);
    ck_assert_int_eq(mkdir("d", 0700), 0);
    ck_assert_int_eq(file_write("d", "1", 1, 0600, &e), -1);
    ck_assert_uint_eq(entries("."), 1);
    ck_assert_int_eq(file_write("/dev/full/x", "1", 1, 0600, &e), -1);
    buf_free(&b);
    leave();
}
END_TEST

START_TEST(makes_directories)
{
    struct err e;

    enter();
    ck_assert_int_eq(file_mkdirs("a/b/c", 0755, &e), 0);
    ck_assert_int_eq(file_mkdirs("a/b/c/", 0755, &e), 0);
    ck_assert_int_eq(file_mkdirs(dir, 0755, &e), 0);
    ck_assert_int_eq(file_write("a/f", "", 0, 0600, &e), 0);
    ck_assert_int_eq(file_mkdirs("a/f/x", 0755, &e), -1);
    ck_assert_int_eq(file_mkdirs("a/f", 0755, &e), -1);
    ck_assert_msg(strstr(e.text, "no directory") != NULL, "%s", e.text);
    ck_assert_int_eq(file_mkdirs("", 0755, &e), -1);
    leave();
}
END_TEST

START_TEST(removes_trees_but_not_through_links)
{
    struct err e;

    enter();
    ck_assert_int_eq(file_mkdirs("keep/sub", 0755, &e), 0);
    ck_assert_int_eq(file_mkdirs("t/a/b", 0755, &e), 0);
    ck_assert_int_eq(file_write("t/a/f", "x", 1, 0400, &e), 0);
    ck_assert_int_eq(symlink("../keep", "t/link"), 0);
    ck_assert_int_eq(symlink("nowhere", "t/dangling"), 0);
    ck_assert_int_eq(symlink("keep", "direct"), 0);
    ck_assert_int_eq(file_remove_tree("t", &e), 0);
    ck_assert_int_eq(access("t", F_OK), -1);
    ck_assert_int_eq(file_remove_tree("direct/", &e), 0);
    ck_assert_int_eq(access("direct", F_OK), -1);
    ck_assert_int_eq(access("keep/sub", F_OK), 0);
    ck_assert_int_eq(file_remove_tree("t", &e), 0);
    leave();
}
END_TEST

START_TEST(does_not_cross_a_mount)
{
    struct err e;

    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
        return; /* mounting needs root; the other checks hold without it */
    enter();
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(file_mkdirs("t/m", 0755, &e), 0);
    ck_assert_int_eq(file_mkdirs("other/precious", 0755, &e), 0);
    ck_assert_int_eq(mount("other", "t/m", NULL, MS_BIND, NULL), 0); /* the same device */
    ck_assert_int_eq(file_remove_tree("t", &e), -1);
    ck_assert_msg(strstr(e.text, "t/m is a mount point") != NULL, "%s", e.text);
    ck_assert_int_eq(access("other/precious", F_OK), 0);
    ck_assert_int_eq(umount("t/m"), 0);
    leave();
}
END_TEST

UNIT_MAIN("file", writes_and_reads_back, reading_is_bounded, a_failed_write_changes_nothing,
          makes_directories, removes_trees_but_not_through_links, does_not_cross_a_mount)
