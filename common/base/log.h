/* log.h - structured logs: level, subsystem, a sentence, key=value pairs.
 *
 *   log_info("pool", "upstream connected addr=%s ms=%u", addr, ms);
 *
 * One line per call, written with one write(2) to stderr: JSON (default) or plain text (-d).
 * Keeps errno; escapes bytes below 0x20 and above 0x7e; folds a line that repeats (per thread)
 * into "repeated=N".  Never pass a secret.  Any thread, no lock.
 */
#ifndef FSM_BASE_LOG_H
#define FSM_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

/* daemon: name put into every line (borrowed, must live on).  Before this call: text, info. */
void log_init(const char *daemon, bool json);
void log_set_level(enum log_level l);
enum log_level log_get_level(void);
/* "error","warn","warning","info","debug","trace","critical","fatal","panic","off","disabled";
 * -1 on any other */
int log_parse_level(const char *s, enum log_level *out);
/* turns trace on for one subsystem whatever the level ("*" = all); may be called while running */
void log_trace_on(const char *subsystem);
void log_trace_off(const char *subsystem);
bool log_on(enum log_level l, const char *subsystem);
void log_at(enum log_level l, const char *subsystem, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(sub, ...) log_at(LOG_ERROR, sub, __VA_ARGS__)
#define log_warn(sub, ...)  log_at(LOG_WARN, sub, __VA_ARGS__)
#define log_info(sub, ...)  log_at(LOG_INFO, sub, __VA_ARGS__)
#define log_debug(sub, ...)                                                                        \
    do {                                                                                           \
        if (log_on(LOG_DEBUG, sub))                                                                \
            log_at(LOG_DEBUG, sub, __VA_ARGS__);                                                   \
    } while (0)
#define log_trace(sub, ...)                                                                        \
    do {                                                                                           \
        if (log_on(LOG_TRACE, sub))                                                                \
            log_at(LOG_TRACE, sub, __VA_ARGS__);                                                   \
    } while (0)

#endif
