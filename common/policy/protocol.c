/* protocol.c - appProtocol and port names.
 *
 * Both know the same words.  A port's name may be the word itself ("grpc") or begin with it and
 * a dash ("grpc-admin"); the longest word that fits decides ("tcp-server-first-db" is no "tcp-").
 */
#include "common/policy/protocol.h"

#include <string.h>
#include <strings.h>

static const struct word {
    const char *text;
    enum mesh_protocol protocol;
} words[] = {
    {"http", MESH_HTTP},
    {"http2", MESH_HTTP},
    {"h2c", MESH_HTTP},
    {"ws", MESH_HTTP},
    {"kubernetes.io/h2c", MESH_HTTP},
    {"kubernetes.io/ws", MESH_HTTP},
    {"grpc-web", MESH_HTTP},
    {"grpc", MESH_GRPC},
    {"tcp", MESH_TCP},
    {"tcp-server-first", MESH_TCP},
    /* TLS of the application's own is never opened */
    {"https", MESH_TCP},
    {"tls", MESH_TCP},
    {"wss", MESH_TCP},
    {"kubernetes.io/wss", MESH_TCP},
    {"amqp", MESH_TCP},
    {"cassandra", MESH_TCP},
    {"ftp", MESH_TCP},
    {"imap", MESH_TCP},
    {"kafka", MESH_TCP},
    {"ldap", MESH_TCP},
    {"memcached", MESH_TCP},
    {"mongo", MESH_TCP},
    {"mongodb", MESH_TCP},
    {"mqtt", MESH_TCP},
    {"mysql", MESH_TCP},
    {"nats", MESH_TCP},
    {"pop3", MESH_TCP},
    {"postgres", MESH_TCP},
    {"postgresql", MESH_TCP},
    {"redis", MESH_TCP},
    {"smtp", MESH_TCP},
    {"ssh", MESH_TCP},
    {"zookeeper", MESH_TCP},
};
#define N_WORDS (sizeof(words) / sizeof(*words))

static const struct word *exact(const char *text)
{
    for (unsigned i = 0; i < N_WORDS; i++)
        if (strcasecmp(text, words[i].text) == 0)
            return &words[i];
    return NULL;
}

/* the longest word that the name begins with, followed by a dash */
static const struct word *prefix(const char *name)
{
    const struct word *best = NULL;
    size_t best_len = 0;

    for (unsigned i = 0; i < N_WORDS; i++) {
        size_t n = strlen(words[i].text);
        if (n > best_len && strncasecmp(name, words[i].text, n) == 0 && name[n] == '-') {
            best = &words[i];
            best_len = n;
        }
    }
    return best;
}

struct mesh_port_protocol mesh_protocol_of(const char *app_protocol, const char *port_name)
{
    const struct word *w = NULL;

    if (app_protocol && *app_protocol)
        w = exact(app_protocol);
    else if (port_name && *port_name) {
        w = exact(port_name);
        if (!w)
            w = prefix(port_name);
    }
    return w ? (struct mesh_port_protocol){w->protocol, true}
             : (struct mesh_port_protocol){MESH_HTTP, false};
}

const char *mesh_protocol_name(enum mesh_protocol p)
{
    return p == MESH_TCP ? "tcp" : p == MESH_GRPC ? "grpc" : "http";
}
