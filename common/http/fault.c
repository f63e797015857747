/* fault.c - see fault.h */
#include "common/http/fault.h"

static const struct {
    const char *name;
    unsigned short status;
} faults[FAULT_COUNT] = {{"", 0},
#define X(id, name, status) {name, status},
                         HTTP_FAULTS(X)
#undef X
};

static unsigned index_of(int fault)
{
    return fault < 0 && fault > -FAULT_COUNT ? (unsigned)-fault : 0;
}

const char *http_fault_name(int fault)
{
    return faults[index_of(fault)].name;
}

unsigned http_fault_status(int fault)
{
    return faults[index_of(fault)].status;
}
