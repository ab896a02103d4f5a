#!/usr/bin/env bash
# vmx.sh [-o FOLDER] [-f FILE]... BUILD COMMAND: as svm.sh, under a kernel with its own kvm-intel, in Bochs, whose
# CPU has VMX with EPT and unrestricted guests. Minutes; by hand. While a guest computes without exits the machine
# around it stands still: it is for exits, not for kicks.
source "$(dirname "$0")/common.bash"
source "$(dirname "$0")/bochs.bash"
processes=()
trap 'kill "${processes[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
emulator bochs bochs bochsbios vgabios bochs-term
emulator xorriso xorriso
isolinux=/usr/lib/ISOLINUX/isolinux.bin
loader=/usr/lib/syslinux/modules/bios/ldlinux.c32
[ -e "$isolinux" ] && [ -e "$loader" ] || absent "no isolinux (packages: isolinux syslinux-common)"
fetch_kernel
# Bochs ends when it is told so at this port; what the console has to say comes before, for which stty waits.
echo 'stty -F /dev/ttyS0 sane; printf Shutdown | to_port 0x8900' >"$work/end"
initramfs "$work/initrd" irqbypass kvm kvm-intel
mkdir -p "$work/iso/isolinux"
cp "$isolinux" "$loader" "$work/iso/isolinux/"
cp "$cache/kvm/vmlinuz" "$work/initrd" "$work/iso/"
cat >"$work/iso/isolinux/isolinux.cfg" <<END
DEFAULT lab
PROMPT 0
LABEL lab
 KERNEL /vmlinuz
 INITRD /initrd
 APPEND $append
END
xorriso -as mkisofs -quiet -o "$work/lab.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
    -boot-load-size 4 -boot-info-table "$work/iso" 2>"$work/xorriso" || { cat "$work/xorriso" >&2; exit 125; }
bochs_start 768
tail -n +1 -f "$work/console" &
processes=("$bochs" $!)
left=${LAB_TIMEOUT:-1800}
while kill -0 "$bochs" 2>/dev/null && [ "$left" -gt 0 ]; do
    sleep 1
    left=$((left - 1))
done
status=$(tr -d '\r' <"$work/console" | sed -n 's/^lab: status \([0-9]*\)$/\1/p')
# The archive begins with its first header, whose magic is at 257.
python3 - "$work/bochs.out" "$work/sent" <<'END'
import sys
data = open(sys.argv[1], "rb").read()
magic = data.find(b"ustar")
open(sys.argv[2], "wb").write(data[magic - 257:] if magic >= 257 else b"")
END
receive
[ -n "$status" ] || { [ "$left" -gt 0 ] && exit 125; exit 124; }
exit "$status"
