/* instance.c - names, paths and address ranges of one mesh on this machine. */
#include "cli/local/instance.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define LOCK_FILE    INSTANCE_ROOT "/.lock"
#define NAME_MAX_LEN 32
#define CONFIG_MAX   65536
#define SLOTS        64 /* default ranges to choose from */

int instance_check_name(const char *name, struct err *e)
{
    size_t n = strlen(name);
    bool ok = n > 0 && n <= NAME_MAX_LEN && name[0] != '-' && name[n - 1] != '-';

    for (const char *p = name; ok && *p; p++)
        ok = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-';
    if (!ok)
        return err_set(e,
                       "--name: got \"%s\", expected at most %d of a-z, 0-9 and '-', "
                       "beginning and ending with a letter or digit",
                       name, NAME_MAX_LEN);
    return 0;
}

/* FNV-1a: stable over processes, unlike the tables' keyed hash */
static uint32_t name_hash(const char *name)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h ^ h >> 16;
}

unsigned long instance_own_netns(void)
{
    struct stat st;

    return stat("/proc/self/ns/net", &st) == 0 ? (unsigned long)st.st_ino : 0;
}

struct instance *instance_new(const char *name)
{
    struct instance *in = xcalloc(1, sizeof(*in));
    char exe[4096];

    in->name = xstrdup(name);
    in->dir = xasprintf(INSTANCE_ROOT "/%s", name);
    snprintf(in->bridge, sizeof(in->bridge), "fl%06x", name_hash(name) & 0xffffff);
    snprintf(in->table, sizeof(in->table), "fsm-local-%s", name);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(exe, '/');
    in->bin_dir = slash ? xstrndup(exe, (size_t)(slash - exe)) : xstrdup("/usr/bin");
    in->netns = instance_own_netns();
    in->dns_upstream = xstrdup("");
    in->images = xcalloc(1, sizeof(*in->images));
    in->controller = in->native_sidecar = true;
    in->backoff_ms = 10000;
    in->lead_ms = 300;
    in->log_max = 8u << 20;
    return in;
}

void instance_free(struct instance *in)
{
    if (!in)
        return;
    for (char **i = in->images; i && *i; i++)
        free(*i);
    free(in->images);
    free(in->dns_upstream);
    free(in->bin_dir);
    free(in->dir);
    free(in->name);
    free(in);
}

char *instance_path(const struct instance *in, const char *sub)
{
    return xasprintf("%s/%s", in->dir, sub);
}

/* the file that was locked is still the one in place: `down` of the last instance removes it */
static bool lock_is_current(int fd)
{
    struct stat mine, now;

    return fstat(fd, &mine) == 0 && stat(LOCK_FILE, &now) == 0 && mine.st_ino == now.st_ino &&
           mine.st_dev == now.st_dev;
}

int instance_lock(struct err *e)
{
    for (;;) {
        if (file_mkdirs(INSTANCE_ROOT, 0700, e))
            return -1;
        int fd = open(LOCK_FILE, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0 && errno == ENOENT)
            continue; /* the directory went just now */
        if (fd < 0)
            return err_errno(e, "the lock " LOCK_FILE);
        if (flock(fd, LOCK_EX) == 0 && lock_is_current(fd))
            return fd;
        close(fd);
    }
}

char **instance_list(void)
{
    char **v = xcalloc(1, sizeof(*v));
    size_t n = 0;
    DIR *d = opendir(INSTANCE_ROOT);
    struct dirent *de;
    struct err e;

    while (d && (de = readdir(d)) != NULL) {
        if (de->d_name[0] == '.' || instance_check_name(de->d_name, &e))
            continue;
        v = xreallocarray(v, n + 2, sizeof(*v));
        v[n++] = xstrdup(de->d_name);
        v[n] = NULL;
    }
    if (d)
        closedir(d);
    return v;
}

/* ---- ranges -------------------------------------------------------------------------------- */

struct ranges {
    struct cidr *v;
    size_t n;
};

static void ranges_add(struct ranges *r, const struct cidr *c)
{
    if (c->ip.family == 0 || c->bits == 0)
        return;
    r->v = xreallocarray(r->v, r->n + 1, sizeof(*r->v));
    r->v[r->n++] = *c;
}

static bool overlaps(const struct cidr *a, const struct cidr *b)
{
    return a->ip.family == b->ip.family && (cidr_has(a, &b->ip) || cidr_has(b, &a->ip));
}

static const struct cidr *ranges_conflict(const struct ranges *r, const struct cidr *c)
{
    for (size_t i = 0; i < r->n; i++)
        if (overlaps(&r->v[i], c))
            return &r->v[i];
    return NULL;
}

static void add_routes4(struct ranges *r)
{
    FILE *f = fopen("/proc/net/route", "re");
    char line[512];
    unsigned dst, mask;

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%*s %x %*s %*s %*s %*s %*s %x", &dst, &mask) != 2)
            continue;
        struct cidr c = {.ip.family = 4, .bits = (uint8_t)__builtin_popcount(mask)};
        memcpy(c.ip.b, &dst, 4);
        ranges_add(r, &c);
    }
    if (f)
        fclose(f);
}

static void add_routes6(struct ranges *r)
{
    FILE *f = fopen("/proc/net/ipv6_route", "re");
    char line[512], hex[33];
    unsigned bits;

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%32s %x", hex, &bits) != 2 || strlen(hex) != 32 || bits > 128)
            continue;
        struct cidr c = {.ip.family = 6, .bits = (uint8_t)bits};
        for (int i = 0; i < 16; i++)
            sscanf(hex + 2 * i, "%2hhx", &c.ip.b[i]);
        ranges_add(r, &c);
    }
    if (f)
        fclose(f);
}

static void add_instances(struct ranges *r, const char *except)
{
    char **names = instance_list();
    struct err e;

    for (char **n = names; *n; n++) {
        struct instance *in = strcmp(*n, except) ? instance_load(*n, &e) : NULL;
        if (in && in->netns == instance_own_netns()) {
            ranges_add(r, &in->pods4);
            ranges_add(r, &in->services4);
            ranges_add(r, &in->pods6);
            ranges_add(r, &in->services6);
        }
        instance_free(in);
        free(*n);
    }
    free(names);
}

static bool have_ipv6(void)
{
    char c = '1';
    int fd = open("/proc/sys/net/ipv6/conf/all/disable_ipv6", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    if (read(fd, &c, 1) != 1)
        c = '1';
    close(fd);
    return c == '0';
}

static void slot_ranges(struct instance *in, unsigned slot)
{
    char text[IP_TEXT_MAX];
    struct err e;

    snprintf(text, sizeof(text), "10.%u.%u.0/20", 160 + slot / 16, slot % 16 * 16);
    cidr_parse(text, &in->pods4, &e);
    snprintf(text, sizeof(text), "10.%u.%u.0/20", 170 + slot / 16, slot % 16 * 16);
    cidr_parse(text, &in->services4, &e);
    snprintf(text, sizeof(text), "fd66:736d:%x::/64", slot);
    cidr_parse(text, &in->pods6, &e);
    snprintf(text, sizeof(text), "fd66:736d:%x:1::/112", slot);
    cidr_parse(text, &in->services6, &e);
}

/* addresses that no host can have */
static bool is_unusable(const struct cidr *c)
{
    uint8_t a = c->ip.b[0], b = c->ip.b[1];

    if (c->ip.family == 4)
        return a == 0 || a == 127 || a >= 224;
    return a == 0xff || a == 0 || (a == 0xfe && (b & 0xc0) == 0x80);
}

static int want_range(const char *flag, const char *text, int family, unsigned min_bits,
                      unsigned max_bits, struct cidr *out, struct err *e)
{
    struct err why;

    if (!text)
        return 0;
    if (cidr_parse(text, out, &why))
        return err_set(e, "%s: %s", flag, why.text);
    if (out->ip.family != family || out->bits < min_bits || out->bits > max_bits)
        return err_set(e, "%s: got \"%s\", expected an IPv%d range of /%u to /%u", flag, text,
                       family, min_bits, max_bits);
    if (is_unusable(out))
        return err_set(e,
                       "%s: got \"%s\", expected addresses that hosts can have: not loopback, "
                       "link-local, multicast or reserved ones",
                       flag, text);
    return 0;
}

int instance_take_ranges(struct instance *in, const struct instance_ranges *w, struct err *e)
{
    if (want_range("--pod-cidr", w->pods4, 4, 8, 28, &in->pods4, e) ||
        want_range("--service-cidr", w->services4, 4, 8, 28, &in->services4, e) ||
        want_range("--pod-cidr6", w->pods6, 6, 16, 120, &in->pods6, e) ||
        want_range("--service-cidr6", w->services6, 6, 16, 120, &in->services6, e))
        return -1;
    return 0;
}

static const char *conflict_of(const struct instance *in, const struct ranges *taken, char *mine,
                               char *theirs)
{
    const struct cidr *own[] = {&in->pods4, &in->services4, &in->pods6, &in->services6};

    for (size_t i = 0; i < 4; i++) {
        const struct cidr *c = ranges_conflict(taken, own[i]);
        if (c) {
            cidr_format(own[i], mine);
            return cidr_format(c, theirs);
        }
    }
    return NULL;
}

static void first_address(const struct cidr *c, struct ip *out)
{
    *out = c->ip;
    if (c->ip.family)
        out->b[c->ip.family == 4 ? 3 : 15] |= 1;
}

static int choose(struct instance *in, const struct instance_ranges *want,
                  const struct ranges *taken, struct err *e)
{
    char mine[IP_TEXT_MAX] = "", theirs[IP_TEXT_MAX] = "";
    uint32_t first = name_hash(in->name);

    for (unsigned i = 0; i < SLOTS; i++) {
        slot_ranges(in, (first + i) % SLOTS);
        if (!have_ipv6())
            in->pods6 = in->services6 = (struct cidr){0};
        if (instance_take_ranges(in, want, e))
            return -1;
        if (!conflict_of(in, taken, mine, theirs))
            return 0;
    }
    return err_set(e,
                   "%s overlaps %s, which this machine routes or another instance uses: choose "
                   "with --pod-cidr, --service-cidr, --pod-cidr6, --service-cidr6",
                   mine, theirs);
}

int instance_choose_ranges(struct instance *in, const struct instance_ranges *want, struct err *e)
{
    struct ranges taken = {0};

    add_routes4(&taken);
    add_routes6(&taken);
    add_instances(&taken, in->name);
    int rc = choose(in, want, &taken, e);
    free(taken.v);
    if (rc)
        return -1;
    if (overlaps(&in->pods4, &in->services4) ||
        (in->pods6.ip.family && overlaps(&in->pods6, &in->services6)))
        return err_set(e, "pod and service ranges overlap: choose others");
    first_address(&in->pods4, &in->gw4);
    first_address(&in->pods6, &in->gw6);
    return 0;
}

/* ---- config.json --------------------------------------------------------------------------- */

static json_t *cidr_json(const struct cidr *c)
{
    char text[IP_TEXT_MAX];
    return c->ip.family ? json_string(cidr_format(c, text)) : json_string("");
}

int instance_save(const struct instance *in, struct err *e)
{
    struct buf text = BUF_INIT;
    json_t *images = json_array();

    for (char **i = in->images; *i; i++)
        json_array_append_new(images, json_string(*i));
    json_t *j = json_pack(
        "{s:o, s:o, s:o, s:o, s:s, s:b, s:b, s:i, s:i, s:i, s:I, s:s, s:o}", "podCidr",
        cidr_json(&in->pods4), "serviceCidr", cidr_json(&in->services4), "podCidr6",
        cidr_json(&in->pods6), "serviceCidr6", cidr_json(&in->services6), "binDir", in->bin_dir,
        "controller", in->controller, "nativeSidecar", in->native_sidecar, "backoffMs",
        (int)in->backoff_ms, "leadMs", (int)in->lead_ms, "logMax", (int)in->log_max, "netns",
        (json_int_t)in->netns, "dnsUpstream", in->dns_upstream, "images", images);
    json_print_pretty(j, 2, false, &text);
    char *path = instance_path(in, "config.json");
    int rc = file_write(path, text.p, text.len, 0600, e);
    free(path);
    buf_free(&text);
    json_decref(j);
    return rc;
}

static void load_cidr(const json_t *j, const char *key, struct cidr *out)
{
    const char *s = json_str(j, key, "");
    struct err e;

    if (!*s || cidr_parse(s, out, &e))
        *out = (struct cidr){0};
}

static void replace_string(char **p, const char *s)
{
    free(*p);
    *p = xstrdup(s);
}

static void fill(struct instance *in, const json_t *j)
{
    load_cidr(j, "podCidr", &in->pods4);
    load_cidr(j, "serviceCidr", &in->services4);
    load_cidr(j, "podCidr6", &in->pods6);
    load_cidr(j, "serviceCidr6", &in->services6);
    first_address(&in->pods4, &in->gw4);
    first_address(&in->pods6, &in->gw6);
    replace_string(&in->bin_dir, json_str(j, "binDir", in->bin_dir));
    replace_string(&in->dns_upstream, json_str(j, "dnsUpstream", ""));
    in->controller = json_bool(j, "controller", true);
    in->native_sidecar = json_bool(j, "nativeSidecar", true);
    in->backoff_ms = (unsigned)json_int(j, "backoffMs", in->backoff_ms);
    in->lead_ms = (unsigned)json_int(j, "leadMs", in->lead_ms);
    in->log_max = (unsigned)json_int(j, "logMax", in->log_max);
    in->netns = (unsigned long)json_int(j, "netns", 0);
    const json_t *images = json_object_get(j, "images");
    size_t n = json_array_size(images);
    in->images = xreallocarray(in->images, n + 1, sizeof(*in->images));
    for (size_t i = 0; i < n; i++)
        in->images[i] = xstrdup(json_string_value(json_array_get(images, i)) ?: "");
    in->images[n] = NULL;
}

struct instance *instance_load(const char *name, struct err *e)
{
    struct buf text = BUF_INIT;
    struct err why;

    if (instance_check_name(name, e))
        return NULL;
    struct instance *in = instance_new(name);
    char *path = instance_path(in, "config.json");
    json_t *j = file_read(path, CONFIG_MAX, &text, &why) == 0
                    ? json_parse(buf_slice(&text), CONFIG_MAX, &why)
                    : NULL;
    if (j) {
        fill(in, j);
    } else {
        err_set(e,
                "no fsm local instance \"%s\" is up here: start it with "
                "'fsm local up%s%s'",
                name, strcmp(name, INSTANCE_DEFAULT) ? " --name " : "",
                strcmp(name, INSTANCE_DEFAULT) ? name : "");
        instance_free(in);
        in = NULL;
    }
    json_decref(j);
    free(path);
    buf_free(&text);
    return in;
}
