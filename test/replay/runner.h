/* runner.h - plays a scenario: the real engine in virtual time, between peers that do what the
 * scenario says, in one process and one thread.
 *
 * The engine gets its tables from a document, through the sidecar's own translator.  One listener
 * for each port a service has; a connection to it counts as one to 10.0.0.1:PORT.  Time stands
 * still but for "time +DURATION", which stops wherever a timer is due.
 *
 * What the engine is to do (in force with "apply", which may come again at any time):
 *   service NAME PORT http|grpc|tcp|detect ENDPOINT[*WEIGHT]...    outbound; Host is NAME
 *   inbound NAME PORT http|grpc|tcp|detect ENDPOINT                plaintext from anybody local
 *   original NAME SERVER           what is dialled for that service is that server's own address
 *   listen NUMBER [to=SERVER]      a port no service has; the original destination may be a server
 *   spec PATH JSON                 in Spec; a path has dots
 *   match NAME KEY JSON            in the match of that service
 *   cluster NAME KEY JSON          in its cluster
 *   remove NAME                    that service
 *   limit NAME VALUE               of struct view_limits: a number, or a duration for NAME_ms
 *   apply
 * Peers:
 *   server NAME up|down|full       down: refuses; full: neither takes nor refuses
 *   NAME accepts CONN              NAME idle: nobody came
 *   client CONN connects PORT [rcvbuf=N]
 *   CONN sends TEXT...             CONN receives TEXT: the next bytes are exactly these
 *   CONN sends TEXT urgent BYTE TEXT...        all in one go, BYTE as TCP's urgent data
 *                                  CONN receives /PATTERN/: found somewhere in what came; what
 *                                  stands before it is dropped, like itself
 *                                  CONN receives N: drops exactly N bytes, once there
 *   CONN asks METHOD TARGET [FIELD...]         sends an HTTP/1.1 request head, Host: svc
 *   CONN asked METHOD TARGET [TEXT]            the next bytes are such a head, and that body
 *   CONN answers STATUS [BODY [FIELD...]]      sends a response of that length
 *   CONN answered STATUS [BODY]                the next bytes are such a response
 *   CONN silent                    nothing came that was not looked at, and it is open
 *   CONN closed|reset              ended that way, everything before it looked at
 *   CONN closes|aborts|shuts       close, reset, end of our sending
 *   CONN stops|resumes             reading
 *   CONN blocked|flowing           are there bytes that cannot be sent?
 *   CONN speaks h2-client|h2-server [window=N] [streams=N]     then "receives" sees lines (peer.h)
 *   CONN heads ID [end] NAME=VALUE...    CONN data ID TEXT [end]    CONN resets ID CODE
 *   CONN goaway LAST               CONN credits ID N
 *   CONN got ID N                  N bytes of body came on that stream so far
 * The engine:
 *   time +DURATION                 drain DURATION; draining; drained
 *   stat NAME =|<|> N              a figure as /stats shows it; reason.NAME is 0 if it is not there
 *
 * At the end all peers close and an hour passes: then no connection, stream, buffer or timer may
 * be left.
 */
#ifndef FSM_TEST_REPLAY_RUNNER_H
#define FSM_TEST_REPLAY_RUNNER_H

#include "common/base/err.h"

struct world;
enum replay_phase { REPLAY_TRAFFIC, REPLAY_CONTROL, REPLAY_SCENARIO };

/* For who plays a scenario in which something goes wrong on purpose (test/torture). */
struct replay_watch {
    /* whose code runs from here on: the engine's own, in which nothing but traffic and time is its
     * reason; the engine's for "apply" and for its beginning and end; the scenario's */
    void (*phase)(enum replay_phase phase);
    /* after the script (e = "", or why it went no further), 25 hours after that, with the peers
     * that are left still open.  -1 and e: something is wrong. */
    int (*look)(struct world *w, struct err *e);
    /* and when they are closed, and another hour later */
    int (*after)(struct world *w, struct err *e);
    unsigned patience_ms; /* for what must come; may change while it is awaited */
};
/* 0; -1 and e: "FILE:LINE: what was expected, what there was".  watch may be NULL; with one, a
 * statement that does not come true ends the script and is no failure. */
int replay_run(const char *file, const struct replay_watch *watch, struct err *e);

#endif
