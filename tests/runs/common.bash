# What the run tests share: sourced, not run. HINDSIGHT is the binary, GUESTS the folder of guests.
# ENGINES limits the engines tried ("kvm", "soft", "kvm soft"); by default all this host has.
set -euo pipefail
: "${HINDSIGHT:?}" "${GUESTS:?}"
[ -x "$HINDSIGHT" ] || exit 77
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'clean_up' EXIT

children=()
clean_up()
{
    local child
    for child in "${children[@]}"; do
        kill -9 "$child" 2>/dev/null || true
    done
    rm -rf "$work"
}

fail()
{
    echo "FAIL: $*" >&2
    for file in "$work/out" "$work/err"; do
        [ -s "$file" ] && head -c 3000 "$file" >&2
    done
    exit 1
}

# A device file alone may be one that no virtual machine can be made with.
if [ -z "${ENGINES:-}" ]; then
    ENGINES=soft
    if "$HINDSIGHT" doctor --json | grep -q '"usable": true'; then
        ENGINES='kvm soft'
    else
        echo "no usable /dev/kvm: on the software CPU alone"
    fi
fi

engines()
{
    echo "$ENGINES"
}

# Ends as skipped where KVM is not to be tried.
needs_kvm()
{
    [[ " $(engines) " != *" kvm "* ]] || return 0
    echo "skipped: no usable /dev/kvm"
    exit 77
}

# The engine for tests that are about something else.
first_engine()
{
    set -- $(engines)
    echo "$1"
}

# hindsight ARGUMENT...: runs it, output to $work/out and $work/err, sets status. A minute and a half
# is a hang, death by a signal a crash.
hindsight()
{
    status=0
    timeout -k 5 "${LIMIT:-90}" "$HINDSIGHT" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    [ "$status" -ne 124 ] || fail "hindsight $*: hangs"
    case $status in
    132 | 134 | 135 | 136 | 137 | 139) fail "hindsight $*: crashed, status $status" ;;
    esac
}

# identical TRACE [ARGUMENT...]: replays, wants "identical" and nothing lost.
identical()
{
    hindsight replay "$@"
    [ "$status" -eq 0 ] || fail "replay $*: status $status"
    grep -q '^identical: [0-9]* events' "$work/out" || fail "replay $*: not identical"
}

# The number of events that the last identical() reported.
replayed_events()
{
    sed -n 's/^identical: \([0-9]*\) events.*/\1/p' "$work/out"
}

# refused STATUS TEXT ARGUMENT...: an error of one line that says TEXT, and this status.
refused()
{
    local wanted=$1 text=$2
    shift 2
    hindsight "$@"
    [ "$status" -eq "$wanted" ] || fail "$*: status $status, not $wanted"
    grep -qF -- "$text" "$work/err" || fail "$*: no '$text'"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "$*: more than one line"
}

wait_for()
{
    local i
    for i in $(seq 300); do
        if "$@"; then
            return 0
        fi
        sleep 0.1
    done
    fail "waited in vain for: $*"
}

# caught SIGNAL PID: whether the process has a handler for it by now.
caught()
{
    local mask
    mask=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$2/status" 2>/dev/null) || return 1
    ((0x${mask:-0} >> ($(kill -l "$1") - 1) & 1))
}

# computed PID TICKS: whether the process has had so many hundredths of a second of processor time.
computed()
{
    local fields
    fields=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 1
    set -- "$2" $fields
    [ $((${13:-0} + ${14:-0})) -ge "$1" ]
}

new_seed()
{
    SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
    echo "seed $SEED"
    RANDOM=$((SEED % 32768))
}
