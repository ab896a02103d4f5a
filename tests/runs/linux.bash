# What the runs of Debian's cloud kernel share: sourced after common.bash. Skips where the kernel
# cannot be fetched.
root=$(cd "$here/../.." && pwd)
if ! cache=$("$root/scripts/fetch-linux.sh" 2>"$work/fetch"); then
    echo "skipped: $(tail -n 1 "$work/fetch")"
    exit 77
fi

# initramfs [SOURCE:TARGET]...: to $work/initrd.
initramfs()
{
    "$root/scripts/initramfs.sh" "$work/initrd" "$@"
}

# autorun: an initramfs whose init runs the script on standard input.
autorun()
{
    { echo '#!/bin/sh'; cat; } >"$work/autorun"
    chmod 755 "$work/autorun"
    initramfs "$work/autorun:/autorun" "$@"
}

# compiler: prints SOURCE:TARGET for all that /compile SOURCE OUTPUT needs in the guest: the host's C
# compiler, assembler and linker, and what they read for a static program that includes stdio.h and
# stdlib.h. Fails where one is missing.
compiler()
{
    local name programs=() files=()
    for name in cc1 as ld; do
        programs+=("$(command -v "$(gcc -print-prog-name="$name")")") || return 1
    done
    for name in crt1.o crti.o crtbeginT.o libgcc.a libgcc_eh.a libc.a crtend.o crtn.o; do
        files+=("$(gcc -print-file-name="$name")")
        [[ ${files[-1]} == /* ]] || return 1
    done
    cat >"$work/compile" <<GUEST
#!/bin/sh
set -e
${programs[0]} -quiet -O2 -imultiarch $(gcc -print-multiarch) "\$1" -o /tmp/compiled.s
${programs[1]} /tmp/compiled.s -o /tmp/compiled.o
${programs[2]} -static -o "\$2" ${files[*]:0:3} /tmp/compiled.o --start-group ${files[*]:3:3} --end-group ${files[*]:6}
GUEST
    chmod 755 "$work/compile"
    echo "$work/compile:/compile"
    printf '#include <stdio.h>\n#include <stdlib.h>\n' | gcc -O2 -E -M -x c - | tr -s ' \\' '\n' |
        sed -n 's/^\/.*/&:&/p'
    printf '%s\n' "${programs[@]}" "${files[@]}" | sed 's/.*/&:&/'
    ldd "${programs[@]}" | sed -n 's/^[^:]*[[:space:]]\(\/[^ ]*\) (.*/\1:\1/p' | sort -u
}

# A boot takes seconds, on a busy host a minute.
LIMIT=600
machine=(--engine soft --memory 256M --kernel "$cache/vmlinuz" --initrd "$work/initrd")
