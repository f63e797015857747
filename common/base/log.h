/* log.h - structured logs: level, subsystem, a sentence, key=value pairs.
 *
 *   log_info("pool", "upstream connected addr=%s ms=%u", addr, ms);
 *
 * One line per call, written with one write(2) to stderr: JSON (default) or plain text (-d).
 * The key=value words at the end of the FORMAT become members of the JSON line (a value that is
 * one %d or %u conversion becomes a number); they are taken from the format, so a value may hold
 * spaces and '=' and still be one value.  A word after the last pair makes all of it sentence.
 * Keeps errno; escapes bytes below 0x20 and above 0x7e; folds a line that repeats at once (per
 * thread) into "repeated=N", told when another line comes, after a second, or by log_flush.
 * Never pass a secret.  Any thread, no lock.
 */
#ifndef FSM_BASE_LOG_H
#define FSM_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

/* LOG_OFF is a setting (nothing but traced subsystems is logged), not the level of a line */
enum log_level { LOG_OFF = -1, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

/* daemon: name put into every line (borrowed, must live on).  Before this call: text, info. */
void log_init(const char *daemon, bool json);
void log_set_level(enum log_level l);
enum log_level log_get_level(void);
/* "error","warn","warning","info","debug","trace","critical","fatal","panic" (= error),
 * "off","disabled"; -1 on any other */
int log_parse_level(const char *s, enum log_level *out);
/* turns trace on for one subsystem whatever the level ("*" = all); may be called while running */
void log_trace_on(const char *subsystem);
void log_trace_off(const char *subsystem);
/* writes what this thread still holds back of a repeated line; at exit it happens by itself */
void log_flush(void);
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
