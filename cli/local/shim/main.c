/* main.c - fsm-local-shim: see shim.h.  Started by fsm local only. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/local/shim/shim.h"

int main(int argc, char **argv)
{
    struct shim_spec spec = {0};
    struct err e = {""};
    bool exec_mode = argc > 1 && strcmp(argv[1], "exec") == 0;

    if (!exec_mode && (argc < 2 || strcmp(argv[1], "run") != 0)) {
        fprintf(stderr, "fsm-local-shim: a part of fsm local, not meant to be started by hand; "
                        "see fsm local --help\n");
        return 2;
    }
    if (spec_read(&spec, SHIM_FD_SPEC, exec_mode ? argv + 2 : argv + argc, &e)) {
        fprintf(stderr, "fsm-local-shim: %s\n", e.text);
        return 125;
    }
    close(SHIM_FD_SPEC);
    /* Nothing at exit: a leak checker would look at this process from another PID namespace, wait
     * for ever, or put its own status in place of the command's. */
    _exit(exec_mode ? exec_run(&spec) : init_run(&spec));
}
