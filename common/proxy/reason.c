/* reason.c - names, statuses and bodies of the reasons in reason.h */
#include "common/proxy/reason.h"
#include <stdbool.h>

static const struct {
    const char *text;
    unsigned short status;
    unsigned char class;
} reasons[REASON_COUNT] = {
#define X(id, text, status, class) [REASON_##id] = {text, status, REASON_BY_##class},
    REASONS(X)
#undef X
};

enum reason reason_of_fault(int fault)
{
    bool known = fault < 0 && fault > -FAULT_COUNT;
    return known ? (enum reason)((int)REASON_FAULT_LINE_END + FAULT_LINE_END - fault)
                 : REASON_DOWN_PROTOCOL;
}

const char *reason_text(enum reason r)
{
    return r < REASON_COUNT ? reasons[r].text : "";
}

unsigned reason_status(enum reason r)
{
    return r < REASON_COUNT ? reasons[r].status : 0;
}

enum reason_class reason_class(enum reason r)
{
    return r < REASON_COUNT ? (enum reason_class)reasons[r].class : REASON_BY_NONE;
}

const char *reason_body(enum reason r)
{
    switch (reason_status(r)) {
    case 403:
        return "Access denied";
    case 404:
        return "Not found";
    default:
        return reason_text(r);
    }
}
