#!/bin/bash
# two sidecars go on talking while the root is rotated by its Secret, a definition and a right are taken away, the
# controller's clock is wrong, and the one of two controllers that writes is killed; afterwards nothing is lost
# optional: it needs an API server, which is built from Go modules (test/kubernetes/lab)
# faults-objects.sh [FAULT...]: those alone (faults.py has them)
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lab_python.bash"
[ $# -gt 0 ] || set -- ca_steps crd rbac skew two
lab_python faults.py "$@"
