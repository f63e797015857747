/* hosts.h - which virtual host a request's Host names: a dense map from names to values.
 *
 *   hosts_add(h, name, value) ...; map = hosts_seal(h);       once, on the control thread
 *   hosts_find(map, name)                                     then, any thread
 *
 * Names are as host_normal() makes them.  A mesh has dozens of names for each service, most of
 * them the beginning of a longer one, each with and without its port: that is what is kept once.
 */
#ifndef FSM_PROXY_HOSTS_H
#define FSM_PROXY_HOSTS_H

#include "common/base/slice.h"

struct hosts; /* being collected */
struct hosts *hosts_new(void);
void hosts_free(struct hosts *h);
/* copies name; borrows value, which must not be NULL.  A name added again has the later value. */
void hosts_add(struct hosts *h, struct slice name, const void *value);

struct hosts_map;
/* takes h; returns owned: free() */
struct hosts_map *hosts_seal(struct hosts *h);
/* NULL if there is none */
const void *hosts_find(const struct hosts_map *m, struct slice name);

#endif
