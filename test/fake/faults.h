/* faults.h - what if this call failed?  Fails the Nth call of malloc, socket, write ... on purpose.
 *
 * A test names the functions in a comment of its own and links faults.c:
 *
 *   / * objects: test/fake/faults.c * /        (without the blanks)
 *   / * wrap: malloc calloc realloc socket write * /
 *
 *   static int save(void *arg)                 0 = it worked, -1 = it said that it did not
 *   { return file_write(arg, "x", 1, 0600, NULL); }
 *
 *   struct faults_sum sum = faults_each(save, path);
 *
 * faults_each runs save in a child process with the first wrapped call failing, then with the
 * second, and so on until a run meets no failure any more; that one has to succeed.  Each run
 * must end by itself within 30 s, and without a leak where the leak checker is on.  What must
 * hold after a failure (the old file is whole, the listener still accepts) is for fn to check,
 * with abort(), or with ck_assert behind faults_pause() (Check itself calls what is wrapped).
 *
 * Only calls made by our own objects are seen, not those inside shared libraries; a call that
 * _FORTIFY_SOURCE turned into its checked twin (recv into an array of known size) is not either:
 * use SAN=asan, which builds without it, for full coverage.
 *
 * Known: those that faults.c has a WRAP for.
 */
#ifndef FSM_TEST_FAKE_FAULTS_H
#define FSM_TEST_FAKE_FAULTS_H

#include <stdbool.h>

/* the nth wrapped call from now on (1 = the next one) fails, once, as such calls do */
void faults_arm(unsigned nth);
/* no more failures */
void faults_stop(void);
/* calls between these two neither fail nor count: for setting up and for looking */
void faults_pause(void);
void faults_resume(void);
/* the armed failure has happened */
bool faults_hit(void);
/* memory that was refused once is refused from then on, until the process ends */
void faults_lasting(void);
/* how many calls were made that could have failed */
unsigned faults_seen(void);
/* fn is called where the failure happens, for whoever wants to tell; it may not call what fails */
void faults_tell(void (*fn)(const char *name));
/* a call that the test intercepts by itself: true = it is the one to fail (errno is ENOMEM) */
bool faults_memory(const char *name);
/* wrapped I/O calls are first interrupted (EINTR), every second time, until faults_stop */
void faults_interrupt(void);

struct faults_sum {
    unsigned runs;     /* with a failure in them */
    unsigned reported; /* fn returned -1 */
    unsigned absorbed; /* fn returned 0 all the same */
    unsigned ended;    /* the process ended for want of memory, as mem.h says */
};
/* Aborts with a message when a run crashes, hangs or leaks, or the last one fails. */
struct faults_sum faults_each(int (*fn)(void *arg), void *arg);

#endif
