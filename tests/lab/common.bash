# What svm.sh and vmx.sh share: sourced, not run. A Debian kernel and an initramfs of busybox, hindsight,
# the guests and KVM's modules; its init runs one command. Exit status 77: the lab cannot be had here.
set -euo pipefail
lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=
files=()

usage()
{
    echo "usage: $(basename "$0") [-o FOLDER] [-f FILE]... BUILD COMMAND" >&2
    exit 2
}

while getopts o:f: option; do
    case $option in
    o) output=$OPTARG ;;
    f) files+=("$OPTARG") ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || usage
build=$1
command=$2
work=$(mktemp -d)

absent()
{
    echo "skipped: $*"
    exit 77
}

# emulator PROGRAM PACKAGE...
emulator()
{
    command -v "$1" >/dev/null || absent "no $1 (packages: ${*:2})"
}

fetch_kernel()
{
    cache=$("$lab/../../scripts/fetch-linux.sh" --kvm 2>"$work/fetch") || absent "$(tail -n 1 "$work/fetch")"
}

# add FILE FOLDER: a program gets its libraries, too.
add()
{
    local library
    cp -L "$1" "$root/$2/"
    for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
        [ -e "$root$library" ] || { mkdir -p "$root${library%/*}" && strip -o "$root$library" "$library"; }
    done
}

# initramfs FILE MODULE...: what is run last there is the file `end`.
initramfs()
{
    local target=$1 file module applet
    shift
    root=$work/root
    mkdir -p "$root"/{bin,x,tmp,out,dev,proc,sys,modules,lib64}
    cp "$cache/busybox" "$root/bin/busybox"
    for applet in $("$cache/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    add "$build/bin/hindsight" bin
    add "$build/bin/hindsight_tcg" bin
    add "$build/bin/to_port" bin
    strip "$root/bin/hindsight" "$root/bin/hindsight_tcg"
    mkdir "$root/guests"
    for file in "$build"/guests/*.elf; do
        strip --strip-debug -o "$root/guests/${file##*/}" "$file"
    done
    for file in "${files[@]}"; do
        add "$file" x
    done
    for module in "$@"; do
        strip --strip-debug -o "$root/modules/$module.ko" "$cache/kvm/modules/$module.ko"
    done
    printf '%s\n' "$command" >"$root/command"
    cp "$work/end" "$root/end"
    cat >"$root/init" <<END
#!/bin/sh
export PATH=/bin:/x HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $*; do insmod /modules/\$module.ko; done
cd /tmp
echo lab: begin
sh /command </dev/null
status=\$?
[ \$status -lt 128 ] || status=127
echo "lab: status \$status"
[ ! "\$(ls /out)" ] || tar -C /out -cf - . | to_port 0xe9
. /end
END
    chmod 755 "$root/init"
    (cd "$root" && find . -mindepth 1 | "$cache/busybox" cpio -o -H newc 2>/dev/null) >"$target"
}

# The files that the command left in /out there.
receive()
{
    if [ -n "$output" ] && [ -s "$work/sent" ]; then
        mkdir -p "$output"
        tar -C "$output" -xf "$work/sent"
    fi
}

# A kernel that spends little on itself.
append="console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr tsc=reliable audit=0 apparmor=0 security=none \
random.trust_cpu=on cryptomgr.notests=1 nowatchdog rcupdate.rcu_expedited=1 init_on_alloc=0 8250.nr_uarts=1 \
initcall_blacklist=init_kprobes,init_trace_printk,event_trace_init"
