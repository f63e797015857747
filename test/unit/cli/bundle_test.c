/* objects: cli/cluster/tar.c cli/cluster/redact.c */
/* bundle_test.c - an archive that tar reads, and objects without secrets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cluster/redact.h"
#include "cli/cluster/tar.h"
#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "test/unit/unit.h"

/* what a shell command prints; it must work */
static char *shell(const char *command)
{
    struct buf b = BUF_INIT;
    FILE *f = popen(command, "r");
    size_t n;

    ck_assert_ptr_nonnull(f);
    while ((n = fread(buf_reserve(&b, 4096), 1, 4096, f)) > 0)
        b.len += n;
    ck_assert_msg(pclose(f) == 0, "%s", command);
    buf_putc(&b, '\0');
    return buf_take(&b);
}

START_TEST(tar_reads_it)
{
    char dir[] = "/tmp/fsm-bundle-XXXXXX", long_name[300];
    struct err e;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    char *path = xasprintf("%s/a.tar", dir);
    struct tar *t = tar_create(path, 1700000000, &e);
    ck_assert_ptr_nonnull(t);
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    char *big = xmalloc(100000);
    memset(big, 'x', 100000);
    tar_add(t, "empty", slice_of("", 0));
    tar_add(t, "dir/block", slice_of(big, 512));
    tar_add(t, "dir/big", slice_of(big, 100000));
    /* the record's length is 99 and 100 with it: the number counts itself */
    for (size_t n = 80; n < 110; n++) {
        char *name = xasprintf("%zu/%.*s", n, (int)n, long_name);
        tar_add(t, name, SLICE_LIT("hello"));
        free(name);
    }
    tar_add(t, long_name, SLICE_LIT("hello"));
    ck_assert_uint_eq(tar_count(t), 34);
    ck_assert_int_eq(tar_close(t, &e), 0);
    char *list = xasprintf("tar tf %s 2>&1 | wc -l", path), *n = shell(list);
    ck_assert_int_eq(strtol(n, NULL, 10), 34);
    char *cat = xasprintf("tar xOf %s %s 2>&1", path, long_name), *said = shell(cat);
    ck_assert_str_eq(said, "hello");
    char *size = xasprintf("tar xOf %s dir/big | tr -d x | wc -c; stat -c %%a %s", path, path),
         *left = shell(size);
    ck_assert_str_eq(left, "0\n600\n");
    /* what is there is not overwritten */
    ck_assert_ptr_null(tar_create(path, 0, &e));
    unlink(path);
    rmdir(dir);
    free(big);
    free(path);
    free(list);
    free(n);
    free(cat);
    free(said);
    free(size);
    free(left);
}
END_TEST

START_TEST(secrets_go)
{
    json_t *o = json_loads(
        "{\"metadata\":{\"managedFields\":[{\"x\":\"SECRET\"}],\"annotations\":{\"a\":\"kept\","
        "\"kubectl.kubernetes.io/last-applied-configuration\":\"SECRET\"}},"
        "\"spec\":{\"kubeconfig\":\"SECRET\",\"remoteLogging\":{\"authorization\":\"SECRET\","
        "\"secretName\":\"kept\"},\"automountServiceAccountToken\":true,"
        "\"containers\":[{\"name\":\"app\",\"image\":\"kept\",\"command\":[\"x\",\"SECRET\"],"
        "\"args\":[\"--password=SECRET\"],\"env\":[{\"name\":\"kept\",\"value\":\"SECRET\"},"
        "{\"name\":\"b\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"kept\"}}}],"
        "\"livenessProbe\":{\"httpGet\":{\"httpHeaders\":[{\"name\":\"X\",\"value\":\"SECRET\"}]}},"
        "\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":[\"SECRET\"]}}}},"
        "{\"name\":\"sidecar\",\"image\":\"i\",\"args\":[\"kept\"],"
        "\"env\":[{\"name\":\"K\",\"value\":\"SECRET\"}]}]}}",
        0, NULL);
    struct buf b = BUF_INIT;
    unsigned kept = 0;

    ck_assert_ptr_nonnull(o);
    redact(o);
    json_print(o, &b);
    ck_assert_msg(strstr(b.p, "SECRET") == NULL, "%s", b.p);
    for (const char *p = b.p; (p = strstr(p, "kept")) != NULL; p++)
        kept++;
    ck_assert_msg(kept == 6, "%s", b.p);
    buf_free(&b);
    json_decref(o);
}
END_TEST

UNIT_MAIN("bundle", tar_reads_it, secrets_go)
