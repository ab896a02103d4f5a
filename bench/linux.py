#!/usr/bin/env python3
"""Times a Linux boot: hindsight's soft engine (run, record, replay) beside QEMU's TCG.

usage: bench/linux.py [--rounds N] [HINDSIGHT]

The same kernel, initramfs, memory and command line everywhere: from start to init's first line and
to power-off, in seconds, medians of N rounds. QEMU plain, and with -icount shift=auto recording and
replaying; what is not installed is left out.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIRST_LINE = b"\ninit: "


def measure(command):
    """Seconds to init's first line (None if it never came), to the end, and of the program's own
    processor time (in user mode, which other work on the machine changes least)."""
    start = time.monotonic()
    before = os.times()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    first, seen = None, b""
    while True:
        got = os.read(process.stdout.fileno(), 65536)
        if not got:
            break
        seen = (seen + got)[-100000:]
        if first is None and FIRST_LINE in seen:
            first = time.monotonic() - start
    if process.wait():
        raise SystemExit(f"{command[0]}: status {process.returncode}\n{seen[-800:].decode(errors='replace')}")
    after = os.times()
    return first, time.monotonic() - start, after.children_user - before.children_user


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("hindsight", nargs="?", default=f"{ROOT}/build/bin/hindsight")
    arguments = parser.parse_args()
    cache = subprocess.run([f"{ROOT}/scripts/fetch-linux.sh"], check=True, capture_output=True,
                           text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as work:
        initrd, trace, log = f"{work}/initrd", f"{work}/t.hst", f"{work}/replay.bin"
        subprocess.run([f"{ROOT}/scripts/initramfs.sh", initrd], check=True)
        line = "console=ttyS0 run=poweroff,-f"
        machine = ["--engine", "soft", "--pace", "fast", "--memory", "256M", "--kernel",
                   f"{cache}/vmlinuz", "--initrd", initrd, "--append", line]
        qemu = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "pc", "-m", "256", "-kernel",
                f"{cache}/vmlinuz", "-initrd", initrd, "-append", line, "-nographic", "-nic", "none",
                "-no-reboot"]
        hindsight = arguments.hindsight
        ways = {
            "hindsight run": [hindsight, "run", *machine],
            "hindsight record": [hindsight, "record", *machine, "-o", trace],
            "hindsight replay": [hindsight, "replay", trace, "--console"],
            "hindsight replay --no-verify": [hindsight, "replay", trace, "--console", "--no-verify"],
        }
        if shutil.which(qemu[0]):
            icount = "shift=auto,rr={},rrfile=" + log
            ways["QEMU TCG"] = qemu
            ways["QEMU record"] = [*qemu, "-icount", icount.format("record")]
            ways["QEMU replay"] = [*qemu, "-icount", icount.format("replay")]
        print(f"kernel {open(cache + '/version').read().strip()}, {arguments.rounds} rounds")
        print(f"{'':32}{'to init':>9}{'to off':>9}{'user':>9}")
        for name, command in ways.items():
            rounds = [measure(command) for _ in range(arguments.rounds)]
            first, end, used = (statistics.median(column) for column in zip(*rounds))
            print(f"{name:32}{first:8.2f}s{end:8.2f}s{used:8.2f}s", flush=True)
        info = json.loads(subprocess.run([hindsight, "info", "--json", trace], check=True,
                                         capture_output=True, text=True).stdout)
        print(json.dumps(info, indent=1))
        if os.path.exists(log):
            print(f"QEMU's log: {os.path.getsize(log)} bytes")


if __name__ == "__main__":
    main()
