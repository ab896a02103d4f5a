#!/usr/bin/env bash
# Debian's cloud kernel recorded on KVM with the software CPU for ring 0, from boot to power-off with
# work in between, COUNT times; each recording replays identically on both engines and prints the same.
source "$(dirname "$0")/common.bash"
if [[ " $(engines) " != *" kvm "* ]]; then
    echo "skipped: no usable /dev/kvm"
    exit 77
fi
source "$here/linux.bash"
cd "$work"
count=${COUNT:-1}

autorun <<'GUEST'
seq 1 3000 | sort -n | md5sum
awk 'BEGIN { for (i = 0; i < 300000; i++) s += i * i % 7; print "sum", s }'
dd if=/dev/zero bs=64k count=100 2>/dev/null | gzip | gzip -d | md5sum
poweroff -f
GUEST
sum=$(awk 'BEGIN { for (i = 0; i < 300000; i++) s += i * i % 7; print "sum", s }')
on_kvm=(--engine kvm "${machine[@]:2}" --pace fast --append console=ttyS0)
for round in $(seq "$count"); do
    hindsight record "${on_kvm[@]}" -o t.hst
    [ "$status" -eq 0 ] || fail "status $status"
    if ! "$HINDSIGHT" info t.hst | grep -q '^tsc *input'; then
        echo "skipped: this host's KVM executes ring 0, and RDTSC there cannot be stopped"
        exit 77
    fi
    grep -q "^$sum" out || fail "no sum, or a wrong one"
    grep -q "$(dd if=/dev/zero bs=64k count=100 2>/dev/null | md5sum | cut -c1-32)" out || fail "a wrong digest"
    cp out console
    for engine in kvm soft; do
        identical t.hst --engine "$engine" --console
        head -c "$(stat -c %s console)" out | cmp -s - console ||
            fail "the replay on $engine prints something else than the recorded run"
    done
done
echo "Debian's kernel on KVM: $count recordings, identical on kvm and soft"
