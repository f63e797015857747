/* tar.h - writes an archive that every tar reads (POSIX ustar; long names by pax records). */
#ifndef FSM_CLI_CLUSTER_TAR_H
#define FSM_CLI_CLUSTER_TAR_H

#include <stdint.h>
#include "common/base/err.h"
#include "common/base/slice.h"

struct tar;
/* mode 0600, since what is in it concerns one user; it must not be there yet.  now: seconds since
 * the epoch, of all files.  NULL and e */
struct tar *tar_create(const char *path, int64_t now, struct err *e);
void tar_add(struct tar *t, const char *name, struct slice bytes);
unsigned tar_count(const struct tar *t);
/* frees; -1 and e: not all of it could be written */
int tar_close(struct tar *t, struct err *e);

#endif
