/* upgrade.c - another build of the program takes over without a lost connection (handover.h).
 *
 * The successor inherits the listening sockets and, in memory, the certificate and the document,
 * so that it needs no controller to begin.  When it serves, its predecessor accepts nothing more,
 * ends what it has, for as long as that takes, and gives its memory back.  The first process of
 * the line stays behind them all: it is the one that a container or a service manager watches.  It
 * passes signals on, and ends as the last of them ends.  Those between leave when they are empty.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/io/handover.h"
#include "common/proxy/lsock.h"
#include "common/tls/tls.h"
#include "sidecar/probes.h"
#include "sidecar/sidecar.h"
#include "sidecar/source.h"

#define SUB      "upgrade"
#define SERVE_MS 30000 /* a successor has so long to serve */
#define QUIET_MS 1000
#define CHILDREN "/proc/%d/task/%d/children" /* proc(5) */
#define NO_HURRY (24u * 3600 * 1000 * 49)

/* ---- the successor's side ----------------------------------------------------------------------
 */

int upgrade_take(struct sidecar *sc, struct err *e)
{
    struct buf text = BUF_INIT;
    int rc = handover_take(&text, e);
    if (rc == 1) {
        sc->heir = true;
        json_wipe(true);
        sc->saved = json_loadb(text.p, text.len, 0, NULL);
        json_wipe(false);
        sc->conf.workers = (unsigned)json_int(sc->saved, "Workers", sc->conf.workers);
        explicit_bzero(text.p, text.len);
    }
    buf_free(&text);
    if (rc == 1 && !sc->saved)
        return err_set(e, "the predecessor's state is no JSON");
    return rc < 0 ? -1 : 0;
}

static void serving(const struct stats *s, void *arg)
{
    struct sidecar *sc = arg;
    (void)s;
    if (handover_ready() == 0)
        return;
    log_error(SUB, "the predecessor ended before this process could serve: nobody watches it, so "
                   "it leaves");
    sc->status = 1;
    loop_stop(sc->loop);
}

/* the workers have the view when they answer what is asked behind it */
void upgrade_ready(struct sidecar *sc)
{
    if (sc->saved) /* behind the document, which has a level, too */
        log_set_level((enum log_level)json_int(sc->saved, "LogLevel", log_get_level()));
    json_wipe(true);
    json_decref(sc->saved);
    json_wipe(false);
    sc->saved = NULL;
    engine_collect(sc->engine, serving, sc);
}

/* ---- the predecessor's side --------------------------------------------------------------------
 */

static FILE *children_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, CHILDREN, (int)pid, (int)pid);
    return fopen(path, "re");
}

static bool children_are_listed(void)
{
    FILE *f = children_of(getpid());
    if (f)
        fclose(f);
    return f != NULL;
}

/* All that come after us, or the last one alone.  Returns how many come directly after. */
static unsigned signal_line(pid_t of, int sig, bool last)
{
    FILE *f = children_of(of);
    unsigned n = 0;
    int pid;
    while (f && fscanf(f, "%d", &pid) == 1) {
        n++;
        if (signal_line(pid, sig, last) == 0 || !last)
            kill(pid, sig);
    }
    if (f)
        fclose(f);
    return n;
}

/* The first of the line sees to all: one between may be leaving just now, and pass nothing on. */
bool upgrade_forward(struct sidecar *sc, int sig)
{
    if (!sc->follower)
        return false;
    if (!children_are_listed())
        kill(sc->follower, sig);
    else if (!sc->heir)
        signal_line(getpid(), sig, sig != SIGTERM && sig != SIGINT);
    return true;
}

/* A successor that ends while nobody asked for it has failed: whoever watches us must see that at
 * once.  Else we end what is open first. */
void upgrade_on_child(int sig, void *arg)
{
    struct sidecar *sc = arg;
    int status;
    pid_t pid;
    (void)sig;
    if (!sc->follower)
        return; /* one that is only starting: handover.c waits for it */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        sc->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (pid == 0)
        return;
    log_info(SUB, "no successor is left status=%d", sc->status);
    sc->alone = true;
    if (!sc->ending || !sc->engine)
        loop_stop(sc->loop);
}

/* our last connection has ended, or had its time */
static void on_empty(void *arg)
{
    struct sidecar *sc = arg;
    sc->empty = true;
    loop_stop(sc->loop);
}

bool upgrade_end(struct sidecar *sc)
{
    if (!sc->follower)
        return false;
    sc->ending = true;
    engine_drain(sc->engine, (unsigned)sc->conf.drain_ms, QUIET_MS, on_empty, sc);
    return true;
}

bool upgrade_stay_behind(struct sidecar *sc)
{
    if (!sc->empty)
        return false;
    sc->empty = false;
    log_info(SUB, "the last connection of this process has ended");
    if (sc->alone || (sc->heir && children_are_listed()))
        return false;
    engine_free(sc->engine); /* turns the loop: the last of them may end meanwhile */
    sc->engine = NULL;
    malloc_trim(0);
    return !sc->alone;
}

static void on_follower(pid_t pid, const char *why, void *arg)
{
    struct sidecar *sc = arg;
    if (why) {
        log_error(SUB, "failed, nothing has changed error=\"%s\"", why);
        return;
    }
    log_info(SUB, "the successor serves, finishing what is open pid=%d", (int)pid);
    sc->follower = pid;
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    engine_stop_accepting(sc->engine);
    timer_cancel(&sc->no_document);
    admin_free(sc->admin);
    probes_free(sc->probes);
    source_free(sc->source);
    sc->admin = NULL;
    sc->probes = NULL;
    sc->source = NULL;
    if (sc->ending)
        upgrade_end(sc);
    else
        engine_drain(sc->engine, NO_HURRY, QUIET_MS, on_empty, sc);
    upgrade_on_child(SIGCHLD, sc); /* it may have come and gone before we looked */
}

/* A successor takes connections a moment before we hear that it serves.  So it is never killed for
 * our being told to end, but told as well: it hears of it when it has handlers, and ends what it
 * has taken; if it comes to serve meanwhile, it is followed. */
void upgrade_tell(struct sidecar *sc, int sig)
{
    bool by_first = sc->heir && children_are_listed(); /* twice would be "at once" */
    handover_look();
    if (!upgrade_forward(sc, sig))
        sc->ending |= handover_signal(by_first ? 0 : sig);
}

void upgrade_cancel(bool now)
{
    if (handover_cancel(now))
        log_info(SUB, "this process is to end: the successor that was starting was ended");
}

/* keys included, of the certificate and of tickets: returns owned, to be wiped */
static char *state_of(struct sidecar *sc)
{
    char *tickets = tls_tickets_save(sc->tickets);
    json_wipe(true);
    json_t *state = json_pack("{s:i, s:i, s:i, s:s}", "Workers", (int)engine_workers(sc->engine),
                              "AccessLog", (int)engine_access_format(sc->engine), "LogLevel",
                              (int)log_get_level(), "Tickets", tickets);
    if (sc->source)
        json_object_set_new(state, "Source", source_save(sc->source));
    char *text = json_dumps(state, JSON_COMPACT);
    json_decref(state);
    json_wipe(false);
    explicit_bzero(tickets, strlen(tickets));
    free(tickets);
    return text;
}

/* Peers go on with the sessions that the predecessor gave them: else all of them would make a full
 * handshake at once.  One of another build may have said it in another way. */
void upgrade_resume_tickets(struct sidecar *sc)
{
    const char *keys = json_str(sc->saved, "Tickets", NULL);
    if (keys && tls_tickets_resume(sc->tickets, keys) < 0)
        log_warn(SUB, "the predecessor's ticket keys are none: sessions from before are not "
                      "resumed");
}

void upgrade_resume_access_log(struct sidecar *sc)
{
    engine_access_log(sc->engine, (enum access_format)json_int(sc->saved, "AccessLog", ACCESS_OFF));
}

int upgrade_begin(struct sidecar *sc, struct err *e)
{
    if (sc->follower || engine_draining(sc->engine))
        return err_set(e, "this process is leaving already");
    char *state = state_of(sc);
    int rc = handover_begin(sc->loop, sc->argv, slice_str(state), SERVE_MS, on_follower, sc, e);
    explicit_bzero(state, strlen(state));
    free(state);
    if (rc == 0)
        log_info(SUB, "starting a successor program=%s", handover_program(NULL));
    return rc;
}
