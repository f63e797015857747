/* file.h - files: bounded reads, atomic writes.  Any thread. */
#ifndef FSM_BASE_FILE_H
#define FSM_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>
#include "common/base/buf.h"
#include "common/base/err.h"

/* appends the whole file to out; refuses more than max bytes.  "-" is standard input. */
int file_read(const char *path, size_t max, struct buf *out, struct err *e);
/* writes beside it and renames: readers see the old or the new, never a part.  fsync'ed. */
int file_write(const char *path, const void *p, size_t n, mode_t mode, struct err *e);
/* mkdir -p */
int file_mkdirs(const char *path, mode_t mode, struct err *e);
/* rm -rf, never following a symbolic link and never crossing a mount; missing is fine */
int file_remove_tree(const char *path, struct err *e);

#endif
