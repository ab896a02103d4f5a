#!/usr/bin/env bash
# vmx.sh [-o FOLDER] [-f FILE]... BUILD COMMAND: as svm.sh, under a kernel with its own kvm-intel, in Bochs, whose
# CPU has VMX with EPT and unrestricted guests. Minutes; by hand. While a guest computes without exits the machine
# around it stands still: it is for exits, not for kicks.
source "$(dirname "$0")/common.bash"
processes=()
trap 'kill "${processes[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
emulator bochs bochs bochsbios vgabios bochs-term
emulator xorriso xorriso
isolinux=/usr/lib/ISOLINUX/isolinux.bin
loader=/usr/lib/syslinux/modules/bios/ldlinux.c32
[ -e "$isolinux" ] && [ -e "$loader" ] || absent "no isolinux (packages: isolinux syslinux-common)"
fetch_kernel
# Bochs ends when it is told so at this port.
echo 'printf Shutdown | to_port 0x8900' >"$work/end"
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
cat >"$work/bochsrc" <<END
plugin_ctrl: unmapped=1, biosdev=1, serial=1
config_interface: textconfig
display_library: rfb, options="timeout=0"
memory: guest=768, host=768
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
vga: update_freq=1
boot: cdrom
ata0: enabled=1
ata0-master: type=cdrom, path=$work/lab.iso, status=inserted
cpu: model=corei7_skylake_x, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
clock: sync=none, time0=utc
com1: enabled=1, mode=file, dev=$work/console
com2: enabled=0
port_e9_hack: enabled=1
log: $work/log
panic: action=report
error: action=ignore
info: action=ignore
debug: action=ignore
END
echo c >"$work/rc"
: >"$work/console"
# What the guest writes to port 0xe9 is on Bochs' standard output, among its own lines.
bochs -q -f "$work/bochsrc" -rc "$work/rc" </dev/null >"$work/bochs.out" 2>"$work/bochs.err" &
bochs=$!
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
