# What the runs that debug Debian's kernel share: sourced after linux.bash. Fetches its debugging
# information and the headers that modules are built with; skips where they cannot be had.
if ! "$root/scripts/fetch-linux.sh" --debug >/dev/null 2>"$work/fetch"; then
    echo "skipped: $(tail -n 1 "$work/fetch")"
    exit 77
fi
vmlinux=$cache/debug/vmlinux

# build_module NAME [OPTION...]: guests/linux/NAME/NAME.c to $work/NAME/NAME.ko; in another folder
# with $folder set.
build_module()
{
    local folder=${folder:-$work/$1}
    mkdir -p "$folder"
    cp "$root/guests/linux/$1/$1.c" "$folder/"
    printf '%s\n' "obj-m := $1.o" "ccflags-y := ${*:2}" >"$folder/Kbuild"
    make -C "$cache"/debug/headers/usr/src/linux-headers-*-cloud-amd64 M="$folder" modules \
        >"$work/out" 2>&1 || fail "building the module $1"
}

# build_program NAME SOURCE [OPTION]...: to $work/NAME.
build_program()
{
    cc -g -O2 "${@:3}" -o "$work/$1" "$2" >"$work/out" 2>&1 || fail "building $1"
}

# debug TRACE COMMAND...: in one session, with the kernel's symbols.
debug()
{
    local trace=$1 command arguments=()
    shift
    for command in "add-symbol-file $vmlinux" "$@"; do
        arguments+=(-ex "$command")
    done
    hindsight debug "$trace" --batch "${arguments[@]}"
}

# want PATTERN: the next line of the output that matches (extended regular expression) after the one
# before; start_wants begins again at the first.
start_wants()
{
    line=0
}
want()
{
    local found
    found=$(tail -n +$((line + 1)) "$work/out" | grep -nE -m1 -- "$1" | cut -d: -f1) || true
    [ -n "$found" ] || fail "no '$1' after line $line: $(tail -n +$((line + 1)) "$work/out" | head -n 60)"
    line=$((line + found))
}
