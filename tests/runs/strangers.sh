#!/usr/bin/env bash
# Traces, guests and gdb clients of strangers: nobody who reaches the gdb stub gets at the host's
# files, names in debugging information do not open any, and nothing that a trace holds plays with
# the terminal.
source "$(dirname "$0")/common.bash"
engine=$(first_engine)

"$HINDSIGHT" record --engine "$engine" --pace fast --serial null --kernel "$GUESTS/hello.elf" \
    -o "$work/t.hst" 2>"$work/err" </dev/null

# serve ARGUMENT...: a gdb stub in the background
serve()
{
    "$HINDSIGHT" gdb "$work/t.hst" "$@" >"$work/server" 2>&1 </dev/null &
    server=$!
    children=("$server")
    wait_for grep -q 'target remote' "$work/server"
}

stop()
{
    kill -INT "$server"
    wait "$server" || fail "the stub ends with status $?"
    children=()
}

cat >"$work/client.py" <<'PYTHON'
import os
import socket
import sys

where, victim = sys.argv[1:]


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(where)
    return s


def frame(data):
    return b"$" + data + b"#%02x" % (sum(data) % 256)


def ask(s, data):
    """Sends a packet; all text for the console and the answer."""
    s.sendall(frame(data))
    text, packet = b"", b""
    while True:
        byte = s.recv(1)
        if not byte:
            raise OSError("hung up")
        packet += byte
        if len(packet) > 3 and packet[-3:-2] == b"#":
            body = packet[packet.index(b"$") + 1:-3]
            packet = b""
            if not body.startswith(b"O") or body == b"OK":
                return text + body
            text += bytes.fromhex(body[1:].decode())


def closed(s):
    try:
        while s.recv(1000):
            pass
    except ConnectionError:
        pass
    return True


def monitor(command):
    return b"qRcmd," + command.encode().hex().encode()


save = frame(monitor("save " + victim))
for start in b"POST / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\n", b"x", b"\x00":
    s = connect()
    s.sendall(start + save)
    assert closed(s)
    assert open(victim).read() == "precious", start
s = connect()
for command in f"save {victim}", "source /dev/zero", f"source {victim}", "add-symbol-file /etc/passwd", \
        "directory /", "sav " + victim, "symbol-file /dev/zero":
    answer = ask(s, monitor(command))
    assert b"not to be had over" in answer, (command, answer)
assert open(victim).read() == "precious"
assert b"t=" in ask(s, monitor("when")) or True
s.close()
# One that says nothing does not keep the next one out.
idle = connect()
s = connect()
assert ask(s, b"?").startswith(b"T") or True
idle.close()
s.close()
PYTHON

printf precious >"$work/victim"
serve
[ "$(stat -c %a "$work/t.hst.gdb")" = 600 ] || fail "others may reach the socket"
timeout 120 python3 "$work/client.py" "$work/t.hst.gdb" "$work/victim" >"$work/out" 2>&1 || fail "client"
# Another stub does not take the socket away from it.
refused 1 'in use' gdb "$work/t.hst"
stop
[ ! -e "$work/t.hst.gdb" ] || fail "the socket is left"
cp "$work/victim" "$work/file"
refused 1 "$work/file" gdb "$work/t.hst" --listen "unix:$work/file"
cmp -s "$work/victim" "$work/file" || fail "a file in the socket's place is gone"
refused 1 'give the address' gdb "$work/t.hst" --listen :1234
serve --listen 0.0.0.0:0
wait_for grep -q 'whoever reaches' "$work/server"
stop
serve --listen 127.0.0.1:0
stop
if grep -q 'whoever reaches' "$work/server"; then
    fail "loopback is warned of"
fi
echo "the gdb stub: no files, no strangers"

# Names in debugging information. The guest's own are replaced, of the same length.
# disguise NAME: $work/other.elf, whose source hello.c is called NAME, with slashes to fill up.
disguise()
{
    python3 - "$GUESTS/hello.elf" "$work/other.elf" "$1" <<'PYTHON'
import re
import sys

data = open(sys.argv[1], "rb").read()
name = sys.argv[3].encode()
found = set(re.findall(rb"[!-~]*hello\.c(?=\0)", data))
assert found
for old in found:
    if len(old) >= len(name):
        at = name.rfind(b"/") + 1
        data = data.replace(old + b"\0", name[:at] + b"/" * (len(old) - len(name)) + name[at:] + b"\0")
open(sys.argv[2], "wb").write(data)
PYTHON
    "$HINDSIGHT" record --engine "$engine" --pace fast --serial null --kernel "$work/other.elf" \
        -o "$work/other.hst" 2>"$work/err" </dev/null
}
look=(--batch -ex 'break guest_main' -ex continue -ex bt -ex 'info line' -ex 'list')
cd "$work"
printf 'a secret\n' >s
mkfifo f
for name in /s ./s ./f "$work/s"; do
    disguise "$name"
    LIMIT=60 hindsight debug "$work/other.hst" "${look[@]}"
    if grep -q 'a secret' "$work/out"; then
        fail "debugging information opens $name"
    fi
done
# Under a folder that was named, it is shown; what leads out of it is not.
mkdir "$work/in"
printf '1\n2\n3\n4\n5\n6 the source\n%.0s' 1 2 3 4 5 6 7 8 9 >"$work/in/hello.c"
hindsight debug "$work/t.hst" --batch -ex "directory $work/in" "${look[@]:1}"
grep -q 'the source' "$work/out" || fail "a folder that was named is not looked into"
disguise ../s
hindsight debug "$work/other.hst" --batch -ex "directory $work/in" "${look[@]:1}"
if grep -q 'a secret' "$work/out"; then
    fail "'..' leads out of the folder that was named"
fi
ln -sf "$work/s" "$work/in/l.c"
disguise ./l.c
hindsight debug "$work/other.hst" --batch -ex "directory $work/in" "${look[@]:1}"
if grep -q 'a secret' "$work/out"; then
    fail "a link leads out of the folder that was named"
fi
for file in "$work/f" /dev/zero /dev/tty "$work"; do
    LIMIT=60 hindsight debug "$work/t.hst" --batch -ex "add-symbol-file $file"
    grep -q 'not a regular file' "$work/err" || fail "symbols of $file"
done
LIMIT=60 hindsight debug "$work/t.hst" --batch -ex 'source /dev/zero'
[ "$status" -eq 1 ] || fail "source /dev/zero: status $status"
echo "debugging information opens nothing that was not named"

# Control characters: in names, in the command line, in what the guest prints.
shown()
{
    if LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$work/out" "$work/err"; then
        fail "$*: control characters get through"
    fi
}
esc=$'\x1b]0;x\x07'
disguise "${esc}.c"
sed -i "s/guest_main\x00/gu\x1b[2Jain\x00/" "$work/other.elf"
cp "$work/other.elf" "$work/${esc}k.elf"
hindsight record --engine "$engine" --pace fast --serial null --kernel "$work/${esc}k.elf" \
    --append "${esc}command line" -o "$work/esc.hst"
shown record
hindsight debug "$work/esc.hst" --batch -ex 'seek 50%' -ex bt -ex 'info files' -ex 'info trace' \
    -ex 'info functions' -ex 'info line' -ex list -ex console -ex 'info symbol $rip' -ex 'x/8i $rip'
shown debug
grep -q '\\x1b' "$work/out" || fail "debug: the name is not shown"
for command in info "info --json" dump "dump --json" verify replay; do
    hindsight $command "$work/esc.hst"
    shown "$command"
done
hindsight record --engine "$engine" --kernel "$work/${esc}none" -o "$work/x.hst"
shown "an error about a file"
hindsight info "$work/${esc}none"
shown "an error about a trace"
echo "control characters are made visible"

# Every process that runs what strangers made is confined.
# confined NAME: the child is, by what the kernel says of it
confined()
{
    wait_for grep -q '^Seccomp:.*2' "/proc/$1/status"
    grep -q '^NoNewPrivs:.*1' "/proc/$1/status" || fail "$2 may gain privileges"
    case $(sed -n 's/^CapEff:\s*//p' "/proc/$1/status") in
    0000000000000000 | 0000000000000002) ;;
    *) fail "$2 keeps capabilities" ;;
    esac
    kill -INT "$1"
    wait "$1" || true
    children=()
}
if "$HINDSIGHT" doctor | grep -q 'confinement  *seccomp' && [ -z "${ASAN_OPTIONS:-}" ]; then
    "$HINDSIGHT" record --engine "$engine" --pace fast --serial null --kernel "$GUESTS/spin.elf" \
        --append loops=1000000000000 -o "$work/spin.hst" 2>"$work/err" </dev/null &
    children=($!)
    confined $! record
    "$HINDSIGHT" record --engine soft --pace fast --serial null --kernel "$GUESTS/spin.elf" \
        --append loops=1000000000000 --max-time 5s -o "$work/spin.hst" 2>"$work/err" </dev/null ||
        [ $? -eq 108 ] || fail "a time limit: another status"
    HINDSIGHT_NATIVE=off "$HINDSIGHT" replay "$work/spin.hst" >"$work/out" 2>"$work/err" &
    children=($!)
    confined $! replay
    HINDSIGHT_NATIVE=off "$HINDSIGHT" debug "$work/spin.hst" --batch -ex 'seek end' >"$work/out" 2>&1 &
    children=($!)
    confined $! debug
    "$HINDSIGHT" gdb "$work/t.hst" >"$work/out" 2>&1 &
    children=($!)
    confined $! gdb
    echo "record, replay, debug and gdb are confined"
else
    echo "no seccomp here: not confined"
fi

# A trace that declares more RAM than there is: asked about first; then untouched RAM costs nothing.
hindsight record --engine soft --pace fast --serial null --kernel "$GUESTS/hello.elf" --memory 64G \
    -o "$work/big.hst"
if [ "$status" -eq 0 ]; then
    refused 1 '--memory-limit' replay "$work/big.hst" --memory-limit 1G
    refused 1 '--memory-limit' debug "$work/big.hst" --memory-limit 1G --batch
    refused 1 '--memory-limit' gdb "$work/big.hst" --memory-limit 1G
    refused 125 '--memory-limit' fork "$work/big.hst" --memory-limit 1G --at 5 -o "$work/f.hst" --serial null
    pages=$(/usr/bin/env bash -c 'ulimit -v unlimited; exec python3 - "$@"' - "$HINDSIGHT" "$work/big.hst" <<'PYTHON'
import resource
import subprocess
import sys
subprocess.run([sys.argv[1], "replay", sys.argv[2], "--memory-limit", "64G"], check=True, stdout=2)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt)
PYTHON
    )
    [ "$pages" -lt 200000 ] || fail "untouched memory costs $pages faults"
    echo "a trace asks before it takes RAM; untouched RAM costs nothing"
fi
