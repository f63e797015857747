#!/bin/bash
# two sidecars go on talking while the Secret of the CA is deleted and one with another root comes: everybody is told
# of that root before it signs
# optional: it needs an API server, which is built from Go modules (test/kubernetes/lab)
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lab_python.bash"
lab_python faults.py secret
