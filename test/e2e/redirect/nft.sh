#!/bin/bash
# redirection through nf_tables: each exclusion and inclusion case, both families, by connections
BACKEND=nft
. "$(dirname "$0")/cases.bash"
