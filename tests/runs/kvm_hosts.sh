#!/usr/bin/env bash
# Hosts whose /dev/kvm lacks something. What recordings need: `doctor` says what is missing, `--engine kvm`
# is refused in one line with what to do, `auto` takes the software CPU. What they can go without: a
# recording is made all the same and replays identically, but for a kick's wish. And a host that sends
# signals all the time.
source "$(dirname "$0")/common.bash"
needs_kvm
preload=$BUILD/bin/kvm_lacks.so
if "$HINDSIGHT" doctor --json >"$work/doctor" && LD_PRELOAD=$preload KVM_LACKS=api "$HINDSIGHT" doctor --json |
    grep -q '"usable": true'; then
    echo "skipped: nothing can be preloaded into this build"
    exit 77
fi

# lacking WHAT ARGUMENT...
lacking()
{
    local what=$1
    shift
    status=0
    LD_PRELOAD=$preload KVM_LACKS=$what timeout 90 "$HINDSIGHT" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

# The numbers are capabilities of linux/kvm.h.
while read -r what text; do
    lacking "$what" run --engine kvm --kernel "$GUESTS/hello.elf"
    [ "$status" -eq 125 ] || fail "$what: status $status"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "$what: more than one line"
    grep -q -- "$text" "$work/err" || fail "$what: the message does not say '$text'"
    grep -q -- '--engine soft' "$work/err" || fail "$what: the message does not say what to do"
    lacking "$what" doctor
    [ "$status" -eq 0 ] || fail "$what: doctor's status $status"
    grep -q -- "^kvm .*$text" "$work/out" || fail "$what: doctor does not say '$text'"
    grep -q '^--engine auto  *soft$' "$work/out" || fail "$what: auto"
    lacking "$what" run --engine auto --kernel "$GUESTS/hello.elf"
    [ "$status" -eq 0 ] || fail "$what: auto: status $status"
done <<'END'
busy Device or resource busy
machine another hypervisor
api API version 11, not 12
dirty_log cannot map
3 user memory
41 vCPU events
50 debug registers
55 XSAVE
136 immediate exit
188 MSR filter
189 MSR filter
END

# Without registers in the shared page (74), failed emulations reported (204): slower, not otherwise.
for what in 74 204; do
    for guest in hello 'clock --append ticks=20' 'spin --append loops=3000000,hz=1000'; do
        set -- $guest
        guest=$1
        shift
        [ $# -eq 0 ] || set -- "$1" "${2//,/ }"
        lacking $what record --engine kvm --pace fast --kernel "$GUESTS/$guest.elf" "$@" -o "$work/t.hst"
        [ "$status" -eq 0 ] || fail "$what: $guest: status $status"
        lacking $what replay "$work/t.hst" --engine kvm
        [ "$status" -eq 0 ] || fail "$what: $guest: the replay's status $status"
        for engine in kvm soft; do
            identical "$work/t.hst" --engine $engine
        done
    done
done

# Signals that are not a kick's end KVM_RUN as well.
"$HINDSIGHT" record --engine kvm --pace fast --kernel "$GUESTS/spin.elf" --append 'loops=20000000 hz=1000' \
    -o "$work/t.hst" >"$work/out" 2>"$work/err" </dev/null &
recording=$! sent=0 status=0
children=("$recording")
while kill -WINCH "$recording" 2>/dev/null; do
    sent=$((sent + 1))
done
wait "$recording" || status=$?
[ "$status" -eq 0 ] || fail "signals: status $status"
for engine in kvm soft; do
    identical "$work/t.hst" --engine $engine
done
echo "11 things that a host may lack are told, 2 are done without; $sent signals while a guest computed"
