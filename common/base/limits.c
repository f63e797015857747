/* limits.c - see limits.h */
#include "common/base/limits.h"

const struct view_limits limits_default = {
#define X(field, key, normal, least, most) .field = normal,
    LIMITS(X)
#undef X
};

const struct limit_def limit_defs[LIMIT_COUNT] = {
#define X(field, key, normal, least, most)                                                         \
    {key, #field, offsetof(struct view_limits, field), least, most},
    LIMITS(X)
#undef X
};
