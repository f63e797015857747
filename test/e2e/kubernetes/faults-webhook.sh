#!/bin/bash
# two sidecars go on talking while nobody answers the webhooks, and while 1,000 pods are created at 200 a second, each
# reviewed within 10 ms (p99)
# optional: it needs an API server, which is built from Go modules (test/kubernetes/lab)
# exclusive: it looks at how long reviews take
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lab_python.bash"
lab_python faults.py webhook crowd
