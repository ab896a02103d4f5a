#!/usr/bin/env bash
# Who executes ring 0 beside KVM: by default the software CPU where the host's KVM can run ring 3 alone, and
# KVM itself by --ring0 native, which says what a recording then cannot promise; a host that cannot do as
# told says so.
source "$(dirname "$0")/common.bash"
warning='KVM executes ring 0: a guest whose kernel reads the time stamp counter'

refused()
{
    local said=$1
    shift
    hindsight record --kernel "$GUESTS/hello.elf" -o "$work/t.hst" "$@"
    [ "$status" -ne 0 ] || fail "$*: not refused"
    grep -q -e "$said" "$work/err" || fail "$*: no '$said'"
}

recorded()
{
    hindsight record --engine kvm --kernel "$GUESTS/hello.elf" -o "$work/t.hst" "$@"
    [ "$status" -eq 0 ] || fail "$*: status $status"
}

takes_tsc()
{
    "$HINDSIGHT" info "$work/t.hst" | grep -q '^tsc *input$'
}

refused 'soft or native' --engine kvm --ring0 fast
refused 'for --engine kvm' --engine soft --ring0 native
needs_kvm

(
    export HINDSIGHT_KVM=alone
    recorded
    grep -q "$warning.*--engine soft" "$work/err" || fail "alone: no warning"
    ! takes_tsc || fail "alone: the counter is an input"
    refused 'cannot run ring 3 alone' --engine kvm --ring0 soft
)
recorded
if takes_tsc; then
    ! grep -q "$warning" "$work/err" || fail "a warning without a reason"
    recorded --ring0 soft
    takes_tsc || fail "--ring0 soft: the counter is no input"
fi
if "$HINDSIGHT" doctor --json | grep -q '"sse_ring0": true'; then
    recorded --ring0 native
    grep -q "$warning" "$work/err" || fail "native: no warning"
    ! takes_tsc || fail "native: the counter is an input"
    identical "$work/t.hst"
    echo "ring 0: native and by the software CPU"
else
    refused 'emulates ring 0' --engine kvm --ring0 native
    echo "ring 0: by the software CPU, because this host's KVM emulates it"
fi
