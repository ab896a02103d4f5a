#!/usr/bin/env python3
"""Times a Linux boot with several vCPUs on the soft engine, beside QEMU's single-threaded TCG.

usage: bench/smp.py [--rounds N] [--cpus N,N...] [HINDSIGHT]

The same kernel, initramfs, memory and command line everywhere, to power-off. For each number of
vCPUs: processor seconds (medians), instructions, nanoseconds for each, that beside one vCPU's, and
the trace's bytes without boot files; QEMU's processor seconds with -smp N and one thread.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def processor_seconds(command):
    before = os.times()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def median(command, rounds):
    return statistics.median(processor_seconds(command) for _ in range(rounds))


def info(hindsight, trace):
    return json.loads(subprocess.run([hindsight, "info", "--json", trace], check=True,
                                     capture_output=True, text=True).stdout)


def instructions(hindsight, trace):
    """Retired in the whole run: the last position's, by the debugger."""
    out = subprocess.run([hindsight, "debug", trace, "--batch", "-ex", "seek end", "-ex", "when"],
                         check=True, capture_output=True, text=True).stdout
    return int(re.search(r"(\d+) instructions", out)[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpus", default="1,2,4,8")
    parser.add_argument("hindsight", nargs="?", default=f"{ROOT}/build/bin/hindsight")
    arguments = parser.parse_args()
    cache = subprocess.run([f"{ROOT}/scripts/fetch-linux.sh"], check=True, capture_output=True,
                           text=True).stdout.strip()
    has_qemu = shutil.which("qemu-system-x86_64")
    with tempfile.TemporaryDirectory() as work:
        initrd, trace = f"{work}/initrd", f"{work}/t.hst"
        subprocess.run([f"{ROOT}/scripts/initramfs.sh", initrd], check=True)
        line = "console=ttyS0 run=poweroff,-f"
        print(f"{'CPUs':>4}{'record':>9}{'replay':>9}{'M insns':>9}{'ns/insn':>9}{'ratio':>7}"
              f"{'events':>9}{'bytes':>10}{'QEMU':>9}")
        first = None
        for cpus in arguments.cpus.split(","):
            record = median([arguments.hindsight, "record", "--engine", "soft", "--cpus", cpus,
                             "--pace", "fast", "--memory", "256M", "--kernel", f"{cache}/vmlinuz",
                             "--initrd", initrd, "--append", line, "--serial", "null", "-o", trace],
                            arguments.rounds)
            replay = median([arguments.hindsight, "replay", trace], arguments.rounds)
            count = instructions(arguments.hindsight, trace)
            each = record / count * 1e9
            first = first or each
            facts = info(arguments.hindsight, trace)
            size = facts["inputs"]["stored_bytes"] + facts["checks"]["stored_bytes"]
            qemu = median(["qemu-system-x86_64", "-accel", "tcg,thread=single", "-smp", cpus, "-machine",
                           "pc", "-m", "256", "-kernel", f"{cache}/vmlinuz", "-initrd", initrd,
                           "-append", line, "-display", "none", "-serial", "null", "-nic", "none",
                           "-no-reboot"], arguments.rounds) if has_qemu else float("nan")
            print(f"{cpus:>4}{record:8.2f}s{replay:8.2f}s{count / 1e6:9.0f}{each:9.2f}{each / first:7.2f}"
                  f"{facts['last_event']:9}{size:10}{qemu:8.2f}s", flush=True)


main()
