#!/bin/bash
# two sidecars go on talking while the API server is slow, refuses (429, 500), answers nonsense, halves of answers,
# and 410 in the middle of a list; afterwards nothing is lost
# optional: it needs an API server, which is built from Go modules (test/kubernetes/lab)
# faults-answers.sh [FAULT...]: those alone (faults.py has them)
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lab_python.bash"
[ $# -gt 0 ] || set -- slow 429 500 garbage half short mid_list
lab_python faults.py "$@"
