#!/usr/bin/env bash
# Traces that were recorded on each maker's machines replay on the software CPU of every host, native
# code or not (tests/traces/README.md).
source "$(dirname "$0")/common.bash"
count=0
for trace in "$here"/../traces/*.hst; do
    [ -e "$trace" ] || fail "no stored traces"
    for native in default off eager; do
        export HINDSIGHT_NATIVE=$native
        identical "$trace" --engine soft
        unset HINDSIGHT_NATIVE
    done
    count=$((count + 1))
done
echo "$count stored traces: identical"
