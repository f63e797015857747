/* tar.c - see tar.h. */
#include "cli/cluster/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/mem.h"

#define BLOCK          512
#define NAME_MAX_PLAIN 99

/* POSIX.1-2017, pax, "ustar Interchange Format" */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type;
    char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155];
    char rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

struct tar {
    FILE *to;
    char *path;
    int64_t now;
    unsigned n;
};

struct tar *tar_create(const char *path, int64_t now, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        err_errno(e, "%s", path);
        return NULL;
    }
    struct tar *t = xcalloc(1, sizeof(*t));
    t->to = fdopen(fd, "w");
    t->path = xstrdup(path);
    t->now = now;
    return t;
}

static void put_padded(struct tar *t, struct slice bytes)
{
    static const char zeros[BLOCK];

    fwrite(bytes.p, 1, bytes.n, t->to);
    if (bytes.n % BLOCK)
        fwrite(zeros, 1, BLOCK - bytes.n % BLOCK, t->to);
}

static void put_entry(struct tar *t, const char *name, char type, struct slice bytes)
{
    struct header h = {.type = type};
    unsigned sum = 0;

    snprintf(h.name, sizeof(h.name), "%.99s", name);
    snprintf(h.mode, sizeof(h.mode), "%07o", 0600);
    snprintf(h.uid, sizeof(h.uid), "%07o", 0);
    snprintf(h.gid, sizeof(h.gid), "%07o", 0);
    snprintf(h.size, sizeof(h.size), "%011llo", (unsigned long long)bytes.n & 077777777777);
    snprintf(h.mtime, sizeof(h.mtime), "%011llo", (unsigned long long)t->now & 077777777777);
    memcpy(h.magic, "ustar", 6);
    memcpy(h.version, "00", 2);
    memset(h.sum, ' ', sizeof(h.sum));
    for (size_t i = 0; i < sizeof(h); i++)
        sum += ((const unsigned char *)&h)[i];
    snprintf(h.sum, sizeof(h.sum), "%06o", sum & 0777777);
    fwrite(&h, 1, sizeof(h), t->to);
    put_padded(t, bytes);
}

/* "30 path=...\n": the number counts itself */
static void put_long_name(struct tar *t, const char *name)
{
    size_t n = strlen(name) + strlen(" path=\n"), digits = 1;
    char *record;

    while (snprintf(NULL, 0, "%zu", n + digits) != (int)digits)
        digits++;
    record = xasprintf("%zu path=%s\n", n + digits, name);
    put_entry(t, "pax", 'x', slice_str(record));
    free(record);
}

void tar_add(struct tar *t, const char *name, struct slice bytes)
{
    if (strlen(name) > NAME_MAX_PLAIN)
        put_long_name(t, name);
    put_entry(t, name, '0', bytes);
    t->n++;
}

unsigned tar_count(const struct tar *t)
{
    return t->n;
}

int tar_close(struct tar *t, struct err *e)
{
    static const char end[2 * BLOCK];

    fwrite(end, 1, sizeof(end), t->to);
    bool bad = ferror(t->to) != 0;
    bad = fclose(t->to) != 0 || bad;
    int rc = bad ? err_errno(e, "%s: not all of it could be written", t->path) : 0;
    free(t->path);
    free(t);
    return rc;
}
