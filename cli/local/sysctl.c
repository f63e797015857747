/* sysctl.c - forwarding on, and back again. */
#include "cli/local/sysctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define SAVED_MAX (1u << 20)
#define IPV6_CONF "net/ipv6/conf"

static int get(const char *key, char *out, size_t size)
{
    char *path = xasprintf("/proc/sys/%s", key);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

    free(path);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return -1;
    while (n > 0 && out[n - 1] == '\n')
        n--;
    out[n] = '\0';
    return 0;
}

static int set(const char *key, const char *value)
{
    char *path = xasprintf("/proc/sys/%s", key);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, value, strlen(value));

    free(path);
    if (fd >= 0)
        close(fd);
    return n < 0 ? -1 : 0;
}

/* these settings belong to a network namespace: the one we are in; returns owned */
static char *saved_path(void)
{
    return xasprintf(INSTANCE_ROOT "/.sysctl-%lu", instance_own_netns());
}

static json_t *load_saved(const char *path)
{
    struct buf text = BUF_INIT;
    struct err e;
    json_t *j = NULL;

    if (file_read(path, SAVED_MAX, &text, &e) == 0)
        j = json_parse(buf_slice(&text), SAVED_MAX, &e);
    buf_free(&text);
    return json_is_array(j) ? j : (json_decref(j), json_array());
}

/* what is on record, and where */
struct saved {
    char *path;
    json_t *list;
};

static int store_saved(const struct saved *s, struct err *e)
{
    struct buf text = BUF_INIT;

    json_print(s->list, &text);
    int rc = file_write(s->path, text.p, text.len, 0600, e);
    buf_free(&text);
    return rc;
}

static bool is_saved(const json_t *saved, const char *key)
{
    for (size_t i = 0; i < json_array_size(saved); i++)
        if (strcmp(json_str(json_array_get(saved, i), "key", ""), key) == 0)
            return true;
    return false;
}

/* memory only */
static void remember(struct saved *saved, const char *key, const char *value)
{
    if (!is_saved(saved->list, key))
        json_array_append_new(saved->list, json_pack("{s:s, s:s}", "key", key, "value", value));
}

/* the old value is on record before the new one is set */
static int change(struct saved *saved, const char *key, const char *value, struct err *e)
{
    char old[64];

    if (get(key, old, sizeof(old)))
        return err_errno(e, "sysctl %s", key);
    if (strcmp(old, value) == 0)
        return 0;
    remember(saved, key, old);
    if (store_saved(saved, e))
        return -1;
    if (set(key, value))
        return err_errno(e, "setting sysctl %s to %s", key, value);
    return 0;
}

/* What the switch of all interfaces is about to overwrite.  On record before the switch itself, so
 * that it is put back after it.  conf: "net/ipv4/conf" */
static void remember_interfaces(struct saved *saved, const char *conf)
{
    char *dir = xasprintf("/proc/sys/%s", conf), old[64];
    DIR *d = opendir(dir);
    struct dirent *de;

    while (d && (de = readdir(d)) != NULL) {
        if (de->d_name[0] == '.' || strcmp(de->d_name, "all") == 0)
            continue;
        char *key = xasprintf("%s/%s/forwarding", conf, de->d_name);
        if (get(key, old, sizeof(old)) == 0 && strcmp(old, "0") != 0)
            remember(saved, key, old);
        free(key);
    }
    if (d)
        closedir(d);
    free(dir);
}

static int switch_on(struct saved *saved, const char *key, const char *conf, struct err *e)
{
    char old[64];

    if (get(key, old, sizeof(old)) == 0 && strcmp(old, "0") == 0)
        remember_interfaces(saved, conf);
    return change(saved, key, "1", e);
}

/* the interface has an address or a route from a router's advertisement */
static bool is_advertised_to(const char *interface)
{
    FILE *f = fopen("/proc/net/ipv6_route", "re");
    char line[512], name[64];
    unsigned flags;
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f))
        found = sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %x %63s", &flags, name) == 2 &&
                (flags & RTF_ADDRCONF) && strcmp(name, interface) == 0;
    if (f)
        fclose(f);
    return found;
}

/* A forwarding machine no longer listens to router advertisements unless told to with 2; one
 * that got its IPv6 address that way must keep it. */
static int keep_advertisements(struct saved *saved, struct err *e)
{
    DIR *d = opendir("/proc/sys/" IPV6_CONF);
    struct dirent *de;
    char old[64];
    int rc = 0;

    while (rc == 0 && d && (de = readdir(d)) != NULL) {
        if (de->d_name[0] == '.' || !is_advertised_to(de->d_name))
            continue;
        char *key = xasprintf(IPV6_CONF "/%s/accept_ra", de->d_name);
        if (get(key, old, sizeof(old)) == 0 && strcmp(old, "1") == 0)
            rc = change(saved, key, "2", e);
        free(key);
    }
    if (d)
        closedir(d);
    return rc;
}

int sysctl_enable_forwarding(const struct instance *in, struct err *e)
{
    struct saved saved = {.path = saved_path()};

    saved.list = load_saved(saved.path);
    char redirects[64];

    /* the switch of IPv4 decides about this one too */
    if (get("net/ipv4/conf/all/accept_redirects", redirects, sizeof(redirects)) == 0)
        remember(&saved, "net/ipv4/conf/all/accept_redirects", redirects);
    int rc = switch_on(&saved, "net/ipv4/ip_forward", "net/ipv4/conf", e);
    /* Pods reach each other through the bridge's address on purpose.  Redirects would not only be
     * wrong: deciding on them costs work for every packet and uses up the allowance of ICMP. */
    if (rc == 0)
        rc = change(&saved, "net/ipv4/conf/all/send_redirects", "0", e);
    if (rc == 0 && in->pods6.ip.family)
        rc = keep_advertisements(&saved, e);
    if (rc == 0 && in->pods6.ip.family)
        rc = switch_on(&saved, IPV6_CONF "/all/forwarding", IPV6_CONF, e);
    json_decref(saved.list);
    free(saved.path);
    return rc;
}

/* other instances in the same network namespace */
static bool others_left(const struct instance *in)
{
    char **names = instance_list();
    bool others = false;
    struct err e;

    for (char **n = names; *n; n++) {
        struct instance *other = strcmp(*n, in->name) ? instance_load(*n, &e) : NULL;
        others = others || (other && other->netns == instance_own_netns());
        instance_free(other);
        free(*n);
    }
    free(names);
    return others;
}

void sysctl_restore_forwarding(const struct instance *in)
{
    if (others_left(in))
        return;
    char *path = saved_path();
    json_t *saved = load_saved(path);
    /* last set, first back: turning forwarding off resets some of what was changed before it */
    for (size_t i = json_array_size(saved); i-- > 0;) {
        const json_t *one = json_array_get(saved, i);
        const char *key = json_str(one, "key", "");
        if (set(key, json_str(one, "value", "")) && errno != ENOENT)
            log_warn("network", "sysctl could not be put back key=%s: %s", key, strerror(errno));
    }
    json_decref(saved);
    unlink(path);
    free(path);
}
