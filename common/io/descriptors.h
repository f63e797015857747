/* descriptors.h - the last descriptors of the process are not for connections of users.
 *
 * The kernel gives the lowest number that is free, so the number of a new descriptor tells how many
 * are open: a connection whose number is one of the last below RLIMIT_NOFILE is one too many, and
 * nothing has to be counted.  What is left is for what the process itself must be able to do while
 * others use it up: answer its admin pages, read a document, start a successor.
 *
 * Of these a server of control traffic has a share, a few connections, as anybody may be able to
 * reach it; what is done on behalf of those who reach it leaves the last half alone.  Any thread.
 */
#ifndef FSM_IO_DESCRIPTORS_H
#define FSM_IO_DESCRIPTORS_H

#include <stdbool.h>

/* kept back, and no more than a quarter of the limit */
#define DESCRIPTORS_KEPT 128

/* is this new descriptor one of those kept back? */
bool descriptor_is_kept(int fd);
/* ... one of the last half of them? */
bool descriptor_is_last(int fd);
/* connections that one server of control traffic may have while those for users are used up; at
 * least 1 */
unsigned descriptors_share(void);
/* the limit may have become lower */
void descriptors_limit_changed(void);

#endif
