/* process.h - what a process asks of the kernel about itself. */
#ifndef FSM_BASE_PROCESS_H
#define FSM_BASE_PROCESS_H

/* For processes that hold private keys: no core dump, neither to a file nor to a collector's pipe,
 * and no other process of the same user may look into the memory (PR_SET_DUMPABLE). */
void process_hide_memory(void);

#endif
