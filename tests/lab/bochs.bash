# What vmx.sh and bochs.sh share: sourced, not run.

# bochs_start MIB: a machine with so much memory that boots $work/lab.iso, its serial port in $work/console; what
# Bochs itself says in $work/bochs.out, with what comes to port 0xe9 in between. $bochs is the process.
bochs_start()
{
    cat >"$work/bochsrc" <<END
plugin_ctrl: unmapped=1, biosdev=1, serial=1
config_interface: textconfig
display_library: rfb, options="timeout=0"
memory: guest=$1, host=$1
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
    bochs -q -f "$work/bochsrc" -rc "$work/rc" </dev/null >"$work/bochs.out" 2>"$work/bochs.err" &
    bochs=$!
}
