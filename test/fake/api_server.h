/* api_server.h - an API server of a few lines for whole programs, in a process of its own.
 *
 *   pid = fake_api_server(fd, dir)         fd: bound and listening; dies with the test
 *
 * Nobody may have a Lease of it.  In dir it finds what it answers, each time anew:
 *   PLURAL.json   the items of a list of that plural; none: an empty list.  Watches say nothing.
 *   mode          what a TokenReview gets; none: the truth (whatever the signature is).  "500",
 *                 "403", "429" (Retry-After: 5), "garbage", "slow" (the truth, after a while),
 *                 "refused", "audience" (of another one), "pod" (of another one)
 * and leaves there:
 *   reviews       a line per TokenReview: how many were under way then, itself included
 */
#ifndef FSM_TEST_FAKE_API_SERVER_H
#define FSM_TEST_FAKE_API_SERVER_H

#include <sys/types.h>

#define FAKE_SLOW_MS 400

pid_t fake_api_server(int fd, const char *dir);

#endif
