/* clock.h - time as three kinds that must not be mixed: monotonic, wall and duration.
 *
 * test/fake/ links its own clock.c with the same symbols, so that replay tests run in virtual
 * time.  Any thread.
 */
#ifndef FSM_BASE_CLOCK_H
#define FSM_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC */
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
/* CLOCK_REALTIME, milliseconds since the epoch */
int64_t clock_wall_ms(void);

/* "2026-01-02T03:04:05.678Z" (RFC 3339, UTC); out takes at least 32 bytes */
void clock_rfc3339(int64_t wall_ms, char *out);
/* -1 if not RFC 3339 */
int clock_parse_rfc3339(const char *s, int64_t *wall_ms);
/* Go duration text as in Kubernetes objects: "90s", "1h30m", "1.5h", "250ms", "0"; -1 if not */
int clock_parse_duration(const char *s, int64_t *ms);
/* "1h30m0s"-like text for people; out takes at least 32 bytes */
void clock_format_duration(int64_t ms, char *out);

#endif
