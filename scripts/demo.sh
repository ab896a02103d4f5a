#!/usr/bin/env bash
# From nothing to a crash that happens again at will: installs what is missing, builds, records the
# crash guest until its planted race hits, and replays that run twice. Then the same for Linux on an
# array (demo-linux.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=build/demo
trace=$folder/crash.hst
hindsight=build/bin/hindsight

say()
{
    printf '\n\033[1m== %s\033[0m\n' "$*"
}
[ -t 1 ] || say() { printf '\n== %s\n' "$*"; }

stop()
{
    echo "demo: $*" >&2
    exit 1
}

# Quiet while it works: what a build prints is of interest only when it fails.
logged()
{
    "$@" >>"$folder/log" 2>&1 || {
        tail -n 40 "$folder/log" >&2
        stop "failed: $* (all of it is in $folder/log)"
    }
}

say "Packages"
scripts/setup.sh --build
echo "all there"

say "Building"
mkdir -p "$folder"
: >"$folder/log"
logged cmake --preset release
logged cmake --build build
"$hindsight" --version

say "What this host can do"
"$hindsight" doctor
if "$hindsight" doctor --json | grep -q '"usable": true'; then
    engine=kvm options=
else
    # In instruction time much more happens between two ticks.
    engine=soft options='hz=20000'
fi

say "Recording the crash guest on $engine until it crashes"
echo "Its timer handler and its main loop share a list. About one tick in 300 hits the race."
for try in $(seq 100); do
    status=0
    "$hindsight" record --engine $engine --pace fast --kernel build/guests/crash.elf --append "$options" \
        --serial "file:$folder/console" -o "$trace" </dev/null 2>"$folder/messages" || status=$?
    case $status in
    0) echo "run $try survived" ;;
    85)
        echo "run $try crashed. Its console:"
        sed 's/^/    /' "$folder/console"
        break
        ;;
    *)
        cat "$folder/messages" >&2
        stop "the recording failed with status $status"
        ;;
    esac
done
[ "$status" -eq 85 ] || stop "100 runs survived, which has odds of less than one in 10^50"

say "Replaying that run, twice"
for round in 1 2; do
    "$hindsight" replay "$trace" | tee "$folder/verdict"
    grep -q '^identical: ' "$folder/verdict" || stop "the replay is not identical"
done

say "What the trace holds"
"$hindsight" info "$trace"

say "Its last moments"
last=$("$hindsight" info --json "$trace" | python3 -c 'import json, sys; print(json.load(sys.stdin)["last_event"])')
"$hindsight" dump "$trace" --kind events --from $((last - 11))

scripts/demo-linux.sh

say "Where to go from here"
show()
{
    printf '    %-62s %s\n' "$1" "$2"
}
show "$hindsight replay $trace --engine soft" "the same run on the software CPU"
show "$hindsight dump $trace | less" "everything that happened"
show "man docs/hindsight.1" "all commands"
