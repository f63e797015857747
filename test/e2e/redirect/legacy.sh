#!/bin/bash
# redirection through ip_tables: each exclusion and inclusion case, both families, by connections
BACKEND=legacy
. "$(dirname "$0")/cases.bash"
