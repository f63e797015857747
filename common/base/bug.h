/* bug.h - our own faults stop the program; nobody else's do. */
#ifndef FSM_BASE_BUG_H
#define FSM_BASE_BUG_H

void bug_die(const char *file, int line, const char *what) __attribute__((noreturn, cold));

/* An invariant of our own code is broken: log and abort.  Never use it on foreign input. */
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!!(cond), 0))                                                         \
            bug_die(__FILE__, __LINE__, #cond);                                                    \
    } while (0)

#endif
