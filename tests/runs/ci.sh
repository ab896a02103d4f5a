#!/usr/bin/env bash
# docs/ci.md is run as it stands: each of its sh blocks, in order, in one folder.
source "$(dirname "$0")/common.bash"
mkdir "$work/bin" "$work/job"
ln -s "$(realpath "$HINDSIGHT")" "$work/bin/hindsight"
cp "$GUESTS/crash.elf" "$GUESTS/crash_fixed.elf" "$GUESTS/race.elf" "$work/job/"
{
    echo 'set -e'
    sed -n '/^```sh$/,/^```$/{/^```/d;p}' "$here/../../docs/ci.md"
} >"$work/script"
version=$(parallel --version 2>/dev/null | sed -n '1s/^GNU parallel/&/p') || version=
if [ -n "$version" ]; then
    echo "with $version"
else
    # The same jobs one after the other, where GNU parallel is not installed.
    printf '#!/bin/bash\nn=0 args=()\nfor w in "$@"; do [ "$w" = ::: ] && break; args+=("$w"); n=$((n + 1)); done\nshift $((n + 1))\nbad=0\nfor i in "$@"; do eval "${args[*]//\\{\\}/$i}" || bad=1; done\nexit $bad\n' >"$work/bin/parallel"
    chmod +x "$work/bin/parallel"
fi
(cd "$work/job" && PATH=$work/bin:$PATH bash "$work/script") >"$work/out" 2>"$work/err" </dev/null ||
    { cat "$work/out" "$work/err"; fail "the blocks of docs/ci.md"; }
for text in '^8 runs, [1-8] found' '^found$' '^identical: ' '^#0 ' '^they part there$' '^one choice decides it' '^still there with the same' '^the failure is gone$' '^ok 1 - suite/list-broken.hst$'; do
    grep -q "$text" "$work/out" || { cat "$work/out"; fail "no '$text'"; }
done
[ "$(grep -c '^8 runs, ' "$work/out")" -eq 2 ] || fail "the shards do not add up"
grep -q 'failures="0"' "$work/job/junit.xml" || fail "no JUnit XML"
# The table has the statuses that the program has.
grep -oE '^\| (1[0-9]+) \| [a-z]+' "$here/../../docs/ci.md" | tr -d '|' | while read -r number name; do
    grep -q "\"$name\", OUTCOME_STATUS" "$here/../../vmm/machine/outcome.c" || fail "$name is no outcome"
    grep -qE "OUTCOME_STATUS_[A-Z]+ = $number," "$here/../../vmm/machine/outcome.h" || fail "$number is no status"
done
echo "docs/ci.md does what it says"
