/* packed.h - JSON values that are kept and seldom read, in a twentieth of what jansson takes.
 *
 *   struct packed *p = packed_new(value);
 *   json_t *v = packed_at(p, "metadata.labels");       made anew, with nothing around it
 *
 * A packed value is one block of bytes.  Keys are numbers of words that all packed values share,
 * and so are strings, lists and objects that have been seen before: of ten thousand pods of one
 * template the second and all others say the template in three bytes.  Words are counted: the
 * last value that uses one frees it.
 *
 * One thread for all packed values of a process.
 */
#ifndef FSM_BASE_PACKED_H
#define FSM_BASE_PACKED_H

#include <jansson.h>
#include <stdbool.h>

struct packed;
/* borrows j; returns owned */
struct packed *packed_new(const json_t *j);
void packed_free(struct packed *p);
/* The value there ("" = all of it; keys with dots cannot be named), in the order that it had.
 * Returns owned, or NULL if there is none. */
json_t *packed_at(const struct packed *p, const char *path);
/* equal values, whatever the order of their members */
bool packed_eq(const struct packed *a, const struct packed *b);

/* A text that many have, once: equal texts are the same pointer.  Returns a reference, to be given
 * back. */
const char *packed_word(const char *text);
void packed_word_free(const char *word); /* or NULL */

#endif
