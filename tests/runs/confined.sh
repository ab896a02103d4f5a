#!/usr/bin/env bash
# Every subcommand that runs or reads what strangers made is confined: at its end it can start no
# program, make no process, socket or executable memory that can be written, signal nobody, and
# open no other file; the recorder's writing thread neither.
source "$(dirname "$0")/common.bash"
preload=$(dirname "$HINDSIGHT")/try_calls.so
[ -e "$preload" ] || exit 77
[ -z "${ASAN_OPTIONS:-}" ] || exit 77
"$HINDSIGHT" doctor | grep -q 'confinement  *seccomp, Landlock' || exit 77
cd "$work"
mkdir traces
# No folder of a trace, and not under /tmp, where the debugger may write; wherever this was built.
outside=$(mktemp -d /var/tmp/hindsight-XXXXXX)
trap 'rm -rf "$outside"; clean_up' EXIT

# confined WHO ALLOWED ARGUMENT...: runs it; WHO (main, or main and thread) is refused all but ALLOWED.
confined()
{
    local who=$1 allowed=$2 calls tried
    shift 2
    rm -f report "$outside/made"
    TRY_REPORT=$work/report TRY_FOLDER=$outside \
        timeout 60 env LD_PRELOAD="$preload" "$HINDSIGHT" "$@" >out 2>err </dev/null || fail "$*: status $?"
    for tried in $who; do
        calls='reading writing'
        [ "$tried" = thread ] || calls='fork socket kill writable-code reading writing exec'
        for call in $calls; do
            grep -qF "$tried ${call/-/ }" report || fail "$*: $tried: $call was not tried"
            case " $allowed " in
            *" $call "*) continue ;;
            esac
            grep -qxF "$tried ${call/-/ } refused" report || fail "$*: $tried: $call is allowed"
        done
    done
    echo "$1${2:+ $2}: confined"
}

guest=(--engine soft --pace fast --serial null --kernel "$GUESTS/hello.elf")
confined main '' run "${guest[@]}"
confined 'main thread' '' record "${guest[@]}" -o traces/t.hst
confined main '' replay traces/t.hst
confined main reading debug traces/t.hst --batch -ex 'seek end' -ex bt
confined 'main thread' '' fork traces/t.hst --at 20.0 --pace fast --serial null -o traces/f.hst
confined main '' console traces/t.hst
for command in 'info' 'info --json' 'info --stats' 'dump' 'dump --times' 'verify'; do
    confined main '' $command traces/t.hst
done
confined main '' strip traces/t.hst -o traces/s.hst
hindsight info traces/s.hst
[ "$status" -eq 0 ] || fail "the stripped copy: $status"

confined main '' extract traces/t.hst kernel -o traces/kernel
cmp -s traces/kernel "$GUESTS/hello.elf" || fail "the kernel"
confined main '' unpack traces/t.hst -o traces/u.hst --store stored
confined main '' replay traces/u.hst --store stored
confined main reading debug traces/u.hst --store stored --batch -ex 'extract kernel k' -ex 'seek end' -ex bt
confined main '' info traces/u.hst --store stored
confined main '' extract traces/u.hst kernel -o traces/kernel --store stored
cmp -s traces/kernel "$GUESTS/hello.elf" || fail "the kernel out of the store"
confined main '' pack traces/u.hst -o traces/p.hst --store stored
confined 'main thread' '' record "${guest[@]}" -o traces/t.hst --store stored

# Two runs, the second with one event more, each looked at by a debugger of its own.
confined main '' diff traces/t.hst traces/u.hst --store stored

truncate -s 4M a b c d
confined main '' raid create --level 5 --chunk 64K a b c
confined main '' raid status a b c
confined main '' raid assemble a b c
confined main '' raid scrub a b c
confined main '' raid rebuild --replace b=new a c
[ -s new ] || fail "no replacement was made"
