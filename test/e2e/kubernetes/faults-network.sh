#!/bin/bash
# two sidecars go on talking while the API server is away, unreachable, comes and goes, closes every watch once a
# second, and has forgotten what was missed; afterwards nothing is lost
# optional: it needs an API server, which is built from Go modules (test/kubernetes/lab)
# faults-network.sh [FAULT...]: those alone (faults.py has them)
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lab_python.bash"
[ $# -gt 0 ] || set -- gone away flapping cut gone_410
lab_python faults.py "$@"
