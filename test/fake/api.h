/* api.h - an API server in a test's hands: link test/fake/api.c and common/kube/api.c stays out.
 *
 *   fake_api_path()                       what was asked last, NULL: nothing is open
 *   fake_api_body()                       what was sent with it, NULL: nothing
 *   fake_api_say("{...")                  bytes of a 200
 *   fake_api_end(200, NULL)               the answer is over; another status with its body
 *   fake_api_break("reset")               ... or broke off
 *
 * One call at a time.
 */
#ifndef FSM_TEST_FAKE_API_H
#define FSM_TEST_FAKE_API_H

#include <stdint.h>

const char *fake_api_path(void);
const char *fake_api_body(void);
/* calls begun so far */
unsigned fake_api_calls(void);
/* 0, or -1: who asked wants no more (and has been told that it is over) */
int fake_api_say(const char *text);
void fake_api_end(unsigned status, const char *body);
void fake_api_end_later(unsigned status, const char *body, uint64_t retry_after_ms);
void fake_api_break(const char *why);

#endif
