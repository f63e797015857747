#!/bin/bash
# resources from a real API server: equal documents, every fault of the server and of the way to it
# optional: it needs an API server, which is built from Go modules (test/kubernetes/lab)
# api-source.sh [SHOW...]: those alone; "many" (10,000 objects: time and memory) only when named
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lab_python.bash"
lab_python api_source.py "$@"
