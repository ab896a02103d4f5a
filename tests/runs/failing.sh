#!/usr/bin/env bash
# Every malloc, write, pwrite, fsync and mmap in turn fails, alone and with all that follow: what
# comes of it is a message and a status that is true, or what would have come anyway.
# EVERY=N looks at every Nth only.
source "$(dirname "$0")/common.bash"
preload=$(dirname "$HINDSIGHT")/fail_nth.so
[ -e "$preload" ] || exit 77
every=${EVERY:-1}

# failing NAME EVERY ARGUMENT...: see failing.py.
failing()
{
    python3 "$here/failing.py" "$HINDSIGHT" "$preload" "$work" "$1" $((every * $2)) "${@:3}" ||
        fail "$1 with failures"
}

failing record 1 record --engine soft --pace fast --serial null --kernel "$GUESTS/disk.elf" \
    --append 'passes=1 random=5' --disk file=DISK -o TRACE
if [ "$(first_engine)" = kvm ]; then
    failing record 3 record --engine kvm --pace fast --serial null --kernel "$GUESTS/spin.elf" \
        --append loops=100000 -o TRACE
fi
"$HINDSIGHT" record --engine soft --pace fast --serial null --kernel "$GUESTS/hello.elf" \
    -o "$work/hello.hst" 2>/dev/null
failing replay 1 replay "$work/hello.hst" --console

# Stops and breakpoints.
cat >"$work/stops" <<'END'
tbreak boot_main
continue
break guest_main if $rsp != 0
commands
print boot
info args
end
watch *(long *)$rsp
continue
bt
info breakpoints
condition 2 $rax == 1
delete 2
reverse-stepi
finish
reverse-continue
bookmark here
END
failing debug 1 debug "$work/hello.hst" --batch -x "$work/stops"
