#!/usr/bin/env bash
# Stock gdb on a recorded run: break, watch, backtrace across the interrupt, both directions, refused
# writes, detach and attach again. Then a client that sends garbage, interrupts a long run, and goes
# away in the middle of a packet; gdb attaches after it as if nothing had been.
set -euo pipefail
: "${HINDSIGHT:?}" "${GUESTS:?}"
[ -x "$HINDSIGHT" ] || exit 77
command -v gdb >/dev/null || exit 77
work=$(mktemp -d)
server=
cleanup()
{
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

fail()
{
    echo "FAIL: $*" >&2
    tail -n 80 "$work/out" >&2
    exit 1
}

# want PATTERN: the next line that matches (extended regular expression) after the one before.
line=0
want()
{
    local found
    found=$(tail -n +$((line + 1)) "$work/out" | grep -nE -m1 -- "$1" | cut -d: -f1) || true
    [ -n "$found" ] || fail "no '$1' after line $line"
    line=$((line + found))
}

timeout 120 "$HINDSIGHT" record --engine soft --pace fast --kernel "$GUESTS/clock.elf" \
    --append 'ticks=40' -o "$work/clock.hst" >"$work/out" 2>&1 </dev/null || fail "recording: $?"
"$HINDSIGHT" gdb "$work/clock.hst" --listen "unix:$work/socket" >"$work/server" 2>&1 &
server=$!
for _ in $(seq 100); do
    [ -S "$work/socket" ] && break
    sleep 0.1
done

cat >"$work/commands" <<GDB
set pagination off
set confirm off
set remotetimeout 60
target remote $work/socket
info registers rip cr0 efer mxcsr
break interrupt_dispatch
continue
printf "first %d\n", frame->vector
backtrace
set \$at = \$rip
set \$sp0 = \$rsp
continue
printf "second stop\n"
reverse-continue
printf "back %d %d\n", \$rip == \$at, \$rsp == \$sp0
reverse-stepi
printf "before the call %d\n", \$rsp == \$sp0 + 8
stepi
printf "and again %d %d\n", \$rip == \$at, \$rsp == \$sp0
delete
watch *(long *)(\$rsp)
reverse-continue
printf "the push of it\n"
delete
print nonsense.member
set var *(int *)\$rsp = 1
monitor when
monitor nonsense
tbreak guest_succeed
continue
step
reverse-step
printf "stepped\n"
reverse-continue
printf "at the start\n"
continue
printf "at the end\n"
set \$end = \$rip
reverse-stepi
printf "before the end %d\n", \$rip != \$end
stepi
monitor seek start
maintenance flush register-cache
maintenance flush dcache
set breakpoint condition-evaluation target
break interrupt_dispatch if frame->vector == 32 && (frame->cs & 3) == 0
set \$last = \$bpnum
continue
info breakpoints
printf "in the stub %d\n", frame->vector
condition \$last frame->vector == 255
continue
printf "no such vector\n"
condition \$last frame->vector == 32
reverse-continue
printf "in the stub, back %d\n", frame->vector
condition \$last *(long *)0x7fffffff0000 == 0
reverse-continue
printf "cannot be told\n"
delete
maintenance packet Qqemu.PhyMemMode:1
x/2xb 0x7c00
maintenance packet Qqemu.PhyMemMode:0
monitor tasks on
detach
target remote $work/socket
printf "again\n"
info registers rip
kill
GDB
# Each command by itself, so that those that must fail do not end the session.
python3 - "$work" <<'PYTHON'
import sys
work = sys.argv[1]
with open(work + "/commands") as source, open(work + "/script.py", "w") as out:
    out.write("import gdb\n")
    for command in source:
        command = command.rstrip("\n")
        out.write("try:\n    gdb.execute(%r)\nexcept gdb.error as e:\n    print('error:', e)\n" % command)
PYTHON
timeout 300 gdb -nx -batch -x "$work/script.py" "$GUESTS/clock.elf" >"$work/out" 2>&1 || fail "gdb: $?"

want '^_start64|^start_multiboot|^start_pvh'
want '^rip +0x10'
want '^cr0 +0x'
want '^efer +0x[0-9a-f]*'
want '^mxcsr +0x1f80'
want 'Breakpoint 1, interrupt_dispatch'
want '^first 3[23]|^first 40'
want '^#0 +interrupt_dispatch'
want '^#1 +<signal handler called>|interrupt_common'
want 'guest_main'
want 'boot_main'
want 'Breakpoint 1, interrupt_dispatch'
want '^second stop'
want 'Breakpoint 1, interrupt_dispatch'
want '^back 1 1'
want '^before the call 1'
want '^and again 1 1'
want '^Old value = '
want '^New value = '
want '^the push of it'
want 'error: No symbol "nonsense"'
want 'error: .*(past cannot be changed|Cannot access memory)'
want '^position [0-9]+\.[0-9]+ of [0-9]+, [0-9]+ instructions'
want "'nonsense' is not a command"
want 'Temporary breakpoint .*guest_succeed'
want '^stepped'
want 'No more reverse-execution history'
want '^at the start'
want 'No more reverse-execution history'
want '^at the end'
want '^before the end 1'
want 'Breakpoint [0-9]+, interrupt_dispatch'
want 'stop only if .*\(target evals\)'
want '^in the stub 32'
want 'No more reverse-execution history'
want '^no such vector'
want 'Breakpoint [0-9]+, interrupt_dispatch'
want '^in the stub, back 32'
want 'Error in testing .*condition'
want '^cannot be told'
want 'received: "OK"'
want '^0x7c00:'
want "tasks of this guest are not known"
want 'detached'
want '^again'
want '^rip +0x10'

cat >"$work/client.py" <<'PYTHON'
import os, random, socket, sys, time

def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(sys.argv[1])
    return s

def frame(data):
    return b"$" + data + b"#%02x" % (sum(data) % 256)

def ask(s, data):
    s.sendall(frame(data))
    return answer(s)

def answer(s):
    text = b""
    while not (b"#" in text and len(text) - text.rindex(b"#") >= 3):
        byte = s.recv(1)
        if not byte:
            sys.exit("FAIL: the stub hung up")
        text += byte
    return text[text.index(b"$") + 1 : text.rindex(b"#")]

def check(what, good):
    if not good:
        sys.exit("FAIL: %s" % what)

seed = int.from_bytes(os.urandom(4), "little")
print("seed", seed)
random.seed(seed)
# Garbage of bytes, and of well-framed nonsense.
# Bytes that no gdb sends end the connection, perhaps before all of them are sent.
s = connect()
try:
    s.sendall(bytes(random.randrange(256) for _ in range(20000)).replace(b"\x03", b""))
    s.sendall(b"+" * 10 + b"#00")
    while s.recv(4096):
        pass
except (BrokenPipeError, ConnectionResetError):
    pass
s.close()
s = connect()
# Nothing here that kills or detaches, and that is a proper end.
for _ in range(300):
    letter = random.choice(b"?gGHmMpPqQTvXzZ!{0129").to_bytes(1, "little")
    rest = bytes(random.choice(b"0123456789abcdef,:;-?cs") for _ in range(random.randrange(30)))
    if (letter + rest).startswith((b"vC", b"vK")):
        continue
    try:
        ask(s, letter + rest)
    except OSError as e:
        check("%r: %s" % (letter + rest, e), False)
check("memory that is not there", ask(s, b"mffff800000000000,8") == b"E14")
check("a write", ask(s, b"M100000,1:00").startswith(b"E"))
check("registers written", ask(s, b"P0=0000000000000000").startswith(b"E"))
check("no such register", ask(s, b"pfff").startswith(b"E"))
check("a bad breakpoint", ask(s, b"Z9,0,0") == b"E01")
check("unknown", ask(s, b"vMustReplyEmpty") == b"")
# A wrong checksum is refused, the repetition accepted.
s.sendall(b"$qC#00")
while s.recv(1) != b"-":
    pass
check("after a bad checksum", ask(s, b"qC") == b"QC1")
# To the start, then an interrupt in a run through everything.
check("backward", b"replaylog:begin" in ask(s, b"bc"))
s.sendall(frame(b"c"))
s.sendall(b"\x03")
reply = answer(s)
check("interrupt: %r" % reply, reply.startswith((b"T02", b"T05replaylog:end")))
check("acknowledgements off", ask(s, b"QStartNoAckMode") == b"OK")
s.sendall(b"$qSupp")
s.close()
s = connect()
check("a new connection", ask(s, b"?").startswith(b"T"))
# Gone while the guest runs.
ask(s, b"bc")
s.sendall(frame(b"c"))
s.close()
s = connect()
check("after hanging up", ask(s, b"?").startswith(b"T"))
s.sendall(frame(b"D"))
print("client: ok")
PYTHON
timeout 300 python3 "$work/client.py" "$work/socket" >"$work/out" 2>&1 || fail "client"
kill -0 "$server" || fail "the stub ended"
cat >"$work/last" <<GDB
target remote $work/socket
print 1234567
monitor quit
detach
GDB
timeout 120 gdb -nx -batch -x "$work/last" "$GUESTS/clock.elf" >"$work/out" 2>&1 || fail "gdb after the garbage"
grep -q '= 1234567' "$work/out" || fail "gdb after the garbage"
kill -INT "$server"
status=0
wait "$server" || status=$?
server=
[ "$status" -eq 0 ] || { cat "$work/server" >&2; fail "the stub's status: $status"; }

# On TCP, the address that is asked for and no other.
"$HINDSIGHT" gdb "$work/clock.hst" --listen 127.0.0.1:0 --once >"$work/server" 2>&1 &
server=$!
for _ in $(seq 100); do
    port=$(sed -n 's/.*127\.0\.0\.1:\([0-9][0-9]*\)$/\1/p' "$work/server")
    [ -n "$port" ] && break
    sleep 0.1
done
timeout 60 gdb -nx -batch -ex "target remote 127.0.0.1:$port" -ex 'info registers cs' -ex kill \
    "$GUESTS/clock.elf" >"$work/out" 2>&1 || fail "gdb on TCP"
grep -q '^cs ' "$work/out" || fail "gdb on TCP"
wait "$server" || fail "--once"
server=
echo "gdb_session: ok"
