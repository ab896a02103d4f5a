#!/usr/bin/env bash
# What is on the disk already is not lost: a recording that does not come about leaves the old trace,
# one file is not taken for two things, a trace has one writer, and a limit on its size ends it.
source "$(dirname "$0")/common.bash"
engine=$(first_engine)
hello=(--engine "$engine" --pace fast --serial null --kernel "$GUESTS/hello.elf")
trace=$work/good.hst

hindsight record "${hello[@]}" -o "$trace"
[ "$status" -eq 0 ] || fail "record: status $status"
cp "$trace" "$work/kept"

# kept WHAT: the old trace is what it was, and nothing lies beside it.
kept()
{
    cmp -s "$trace" "$work/kept" || fail "$1: the old trace is lost"
    [ -z "$(find "$work" -name '.*.part')" ] || fail "$1: a part of a trace is left"
}

printf 'not a kernel' >"$work/bad"
hindsight record --engine "$engine" --kernel "$work/bad" -o "$trace"
[ "$status" -eq 125 ] || fail "bad kernel: status $status"
kept "bad kernel"
head -c 64M /dev/zero >"$work/large"
hindsight record "${hello[@]}" --initrd "$work/large" --memory 32M -o "$trace"
[ "$status" -eq 125 ] || fail "too little memory: status $status"
kept "too little memory"
head -c 1M /dev/zero >"$work/disk.img"
hindsight record "${hello[@]}" --disk "file=$work/disk.img" --fault disk3:member9:fail@t=1s -o "$trace"
[ "$status" -ne 0 ] || fail "a fault that cannot be: status $status"
kept "a fault that cannot be"
for at in 999999 rubbish; do
    hindsight fork "$trace" --at "$at" -o "$work/copy.hst" --serial null
    [ "$status" -ne 0 ] || fail "fork at $at: status $status"
    [ ! -e "$work/copy.hst" ] || fail "fork at $at: leaves a file"
    cp "$trace" "$work/copy.hst"
    hindsight fork "$trace" --at "$at" -o "$work/copy.hst" --serial null
    [ "$status" -ne 0 ] || fail "fork at $at: status $status"
    cmp -s "$work/copy.hst" "$work/kept" || fail "fork at $at: the old trace is lost"
    rm "$work/copy.hst"
done
kept "a fork that fails"
head -c 300 "$trace" >"$work/cut.hst"
hindsight strip "$work/cut.hst" -o "$trace"
if [ "$status" -ne 0 ]; then
    kept "a strip that fails"
fi
cp "$work/kept" "$trace"
echo "what does not come about replaces nothing"

# A killed one neither, before its guest has run: this one reads a FIFO to which nobody writes.
mkfifo "$work/never"
"$HINDSIGHT" record "${hello[@]}" --initrd "$work/never" -o "$trace" 2>"$work/err" &
children=($!)
timeout 60 bash -c 'exec 3>"$1" && kill -9 "$2"' - "$work/never" "${children[0]}" ||
    fail "the recorder does not read its initrd"
wait "${children[0]}" 2>/dev/null || true
children=()
kept "a killed recorder"

# Devices and sockets stay; a link is followed and stays a link.
if [ "$(id -u)" -eq 0 ] && mknod "$work/null" c 1 3 2>/dev/null; then
    refused 125 'a file or a FIFO' record "${hello[@]}" -o "$work/null"
    [ -c "$work/null" ] || fail "a device node was removed"
fi
refused 125 'a file or a FIFO' record "${hello[@]}" -o /dev/null
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$work/socket"
refused 125 'a file or a FIFO' record "${hello[@]}" -o "$work/socket"
[ -S "$work/socket" ] || fail "a socket was removed"
ln -s good.hst "$work/link.hst"
hindsight record "${hello[@]}" -o "$work/link.hst"
[ "$status" -eq 0 ] && [ -L "$work/link.hst" ] || fail "a link was replaced"
identical "$trace"
chmod 640 "$trace"
hindsight record "${hello[@]}" -o "$trace"
[ "$(stat -c %a "$trace")" = 640 ] || fail "the replaced file's permissions are gone"
echo "no device, socket or link is replaced"

# One file in two roles
# twice FILE ARGUMENT...: refused, and the file is what it was.
twice()
{
    local file=$1
    shift
    cp "$file" "$work/before"
    refused 2 'is named twice' "$@"
    cmp -s "$file" "$work/before" || fail "$*: the file is destroyed"
}
cp "$GUESTS/hello.elf" "$work/k.elf"
ln "$work/k.elf" "$work/hard.elf"
own=(record --engine "$engine" --pace fast --kernel "$work/k.elf")
twice "$work/disk.img" "${own[@]}" --disk "file=$work/disk.img" -o "$work/disk.img"
twice "$work/k.elf" "${own[@]}" -o "$work/k.elf"
twice "$work/k.elf" "${own[@]}" -o "$work/hard.elf"
twice "$work/k.elf" "${own[@]}" -o "$work/t.hst" --memory "file=$work/hard.elf,size=16M"
twice "$work/k.elf" run --engine "$engine" --kernel "$work/k.elf" --serial "file:$work/k.elf"
twice "$work/disk.img" "${own[@]}" -o "$work/t.hst" --serial "file:$work/disk.img" \
    --disk "file=$work/disk.img,snapshot=on"
twice "$work/k.elf" "${own[@]}" --serial "file:$work/new" -o "$work/../$(basename "$work")/new"
twice "$trace" fork "$trace" --at 1 -o "$trace"
twice "$trace" fork "$trace" --at 1 -o "$work/t.hst" --serial "file:$trace"
twice "$trace" debug "$trace" --batch -ex "info trace" --cache-file "$trace"
echo "one file in two roles: refused"

# Two recorders of one trace, whether it existed or not
for old in yes no; do
    [ $old = yes ] || rm -f "$work/t.hst"
    "$HINDSIGHT" record --engine "$engine" --pace fast --serial null --kernel "$GUESTS/pio.elf" \
        --append count=100000000 -o "$work/t.hst" 2>"$work/first" </dev/null &
    children=($!)
    wait_for test -s "$work/t.hst"
    refused 125 'in use' record "${hello[@]}" -o "$work/t.hst"
    kill -INT "${children[0]}"
    wait "${children[0]}" || true
    children=()
    identical "$work/t.hst"
done
echo "a second recorder of one trace: refused"

# A limit on the size
for size in 400K 3M; do
    hindsight record --engine "$engine" --pace fast --serial null --kernel "$GUESTS/pio.elf" \
        --append count=1000000000 --max-size $size -o "$work/t.hst"
    [ "$status" -eq 108 ] || fail "--max-size $size: status $status"
    grep -q 'as large as --max-size allows' "$work/err" || fail "--max-size $size: says nothing"
    have=$(stat -c %s "$work/t.hst") most=$(numfmt --from=iec $size)
    [ "$have" -le "$most" ] || fail "--max-size $size: $have bytes"
    [ "$have" -ge $((most / 4)) ] || fail "--max-size $size: ended at $have bytes"
    identical "$work/t.hst"
    if grep -q 'cut off' "$work/out"; then
        fail "--max-size $size: replays as if cut off"
    fi
done
cp "$trace" "$work/kept"
refused 125 'too small' record "${hello[@]}" --max-size 20K -o "$trace"
kept "a limit below the boot files"
echo "--max-size ends a recording cleanly"
