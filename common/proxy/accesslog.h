/* accesslog.h - one line per stream, JSON or text, never waiting for whoever reads it.
 *
 * A worker formats into its own buffer; full buffers (and what is older than a loop turn) are
 * handed to a writer thread by a lock-free list.  When more bytes than a bound wait there (2 MiB),
 * or they cannot be written, lines are dropped and counted, and a line of the log says how many.
 * Off costs one load per stream.
 */
#ifndef FSM_PROXY_ACCESSLOG_H
#define FSM_PROXY_ACCESSLOG_H

#include <stdbool.h>
#include <stdint.h>
#include "common/io/loop.h"
#include "common/proxy/engine.h"
#include "common/proxy/reason.h"

struct stream;
struct access_log_writer;
struct access_log;

/* fd: where lines go (borrowed); -1 = nowhere.  The thread starts with the first line. */
struct access_log_writer *access_log_writer_new(int fd);
/* writes what is left, but does not wait for a reader who stands still */
void access_log_writer_free(struct access_log_writer *wr);
/* any thread */
void access_log_set_format(struct access_log_writer *wr, enum access_format f);
enum access_format access_log_format(const struct access_log_writer *wr);
/* lines, so far */
uint64_t access_log_lost(const struct access_log_writer *wr);

/* one per worker */
struct access_log *access_log_new(struct access_log_writer *wr, struct loop *l);
void access_log_free(struct access_log *a);
bool access_log_on(const struct access_log *a);
void access_log_stream(struct access_log *a, const struct stream *s, enum reason why);

/* engine.c */
struct access_log_writer *engine_access_writer(struct engine *e);

#endif
