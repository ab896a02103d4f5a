#!/usr/bin/env bash
# choose.sh CPU_VECTORS FILE.jsonl... >chosen.jsonl.lz4: the vectors that live in the project, one in
# twenty or so of the complete ones of one maker, with what this host's CPU makes of the same cases beside.
# Needs the lz4 program.
set -euo pipefail
vectors=$1
shift
for file in "$@"; do
    every=25
    case $file in
    *bcd_all*) every=8 ;;
    *group_block*) every=4 ;;
    *group_*) every=20 ;;
    esac
    awk "NR % $every == 1" "$file"
done | "$vectors" --record - | lz4 -12 -c
