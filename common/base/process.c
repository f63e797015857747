/* process.c - see process.h */
#include "common/base/process.h"
#include <sys/prctl.h>

void process_hide_memory(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
