#!/usr/bin/env bash
# Debian's cloud kernel recorded on KVM with the software CPU for ring 0, from boot to power-off: a
# person types a C program at the shell, compiles and runs it there. COUNT recordings; each replays
# identically on both engines and prints the same. HINDSIGHT_KVM=eager in the environment has ring 3 enter KVM at
# every chance, which takes minutes.
source "$(dirname "$0")/common.bash"
needs_kvm
source "$here/linux.bash"
cd "$work"
count=${COUNT:-1}

if ! compiler >files; then
    echo "skipped: no C compiler whose parts can be copied into a guest"
    exit 77
fi
mapfile -t files <files
initramfs "${files[@]}"
# A message of the kernel may come anywhere in what a test waits for.
on_kvm=(--engine kvm "${machine[@]:2}" --append "console=ttyS0 quiet")
for round in $(seq "$count"); do
    timeout 500 python3 "$here/type_at_compiler.py" console "$HINDSIGHT" record "${on_kvm[@]}" -o t.hst \
        >out 2>err || fail "typing: status $?"
    if ! "$HINDSIGHT" info t.hst | grep '^tsc *input' >tsc; then
        echo "skipped: this host's KVM executes ring 0, and RDTSC there cannot be stopped"
        exit 77
    fi
    for engine in kvm soft; do
        identical t.hst --engine "$engine" --console
        python3 "$here/same_console.py" out console ||
            fail "the replay on $engine prints something else than the recorded run"
    done
    echo "recording $round: $(replayed_events) events, $("$HINDSIGHT" info t.hst | sed -n 's/^ *event landing *//p') landings, identical on kvm and soft"
done
echo "Debian's kernel on KVM, typed at, compiling: $count recordings, identical on kvm and soft"
