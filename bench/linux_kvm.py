#!/usr/bin/env python3
"""Times Linux on the kvm engine beside soft, QEMU's TCG and the host itself.

usage: bench/linux_kvm.py [--rounds N] [--ways WAY,...] [--json] [HINDSIGHT]

The same kernel, initramfs and memory everywhere. Boot: from start to power-off. Programs of one kind
each: a loop that computes, a bytecode interpreter, system calls, a script of busybox's awk; their time
is that of a run with the program less that of one without, medians of N rounds, which go round the
ways so that the host's moods meet all. Processor time is shown beside elapsed time: on a busy host it is the steadier one.
QEMU is left out where it is not installed.
"""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOADS = {"compute": 1000000000, "interpret": 50000000, "calls": 300000}
AWK = "BEGIN { for (i = 0; i < 300000; i++) { a[i % 1000] += i * 3 + length(s); s = substr(s i, 1, 9) } print a[7], s }"
# What the guest runs, words parted by commas.
PROGRAMS = {**{name: f"loads,{name},{count}" for name, count in LOADS.items()}, "script": "script"}
AUTORUN = """#!/bin/sh
for word in $(cat /proc/cmdline); do
    case $word in
    program=*) $(echo "${word#program=}" | tr , ' ') ;;
    esac
done
poweroff -f
"""


def seconds(command):
    """Elapsed and processor time of a command that has to end well."""
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command[0]}: status {done.returncode}\n{done.stdout[-800:].decode(errors='replace')}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begin, used


def guest_commands(hindsight, cache, work):
    """How to run the guest with words on its command line, by name of the way."""
    line = "console=ttyS0 quiet"
    machine = ["--memory", "256M", "--kernel", f"{cache}/vmlinuz", "--initrd", f"{work}/initrd"]

    def on(engine, verb, extra):
        return lambda words: [hindsight, verb, "--engine", engine, "--pace", "fast", *machine,
                              "--append", f"{line} {words}", *extra]

    ways = {f"{verb} {engine}": on(engine, verb, ["-o", f"{work}/t.hst"] if verb == "record" else [])
            for engine in ("soft", "kvm") for verb in ("run", "record")}
    if shutil.which("qemu-system-x86_64"):
        ways["QEMU TCG"] = lambda words: [
            "qemu-system-x86_64", "-accel", "tcg", "-machine", "pc", "-m", "256", "-kernel",
            f"{cache}/vmlinuz", "-initrd", f"{work}/initrd", "-append", f"{line} {words}", "-nographic",
            "-nic", "none", "-no-reboot"]
    return ways


def measure(ways, native, rounds):
    """By way: medians of the boot, and of each program beyond it, as [elapsed, processor]."""
    times = {way: {what: [] for what in ("boot", *PROGRAMS)} for way in (*ways, "native")}
    for _ in range(rounds):
        for way, command in ways.items():
            boot = seconds(command(""))
            times[way]["boot"].append(boot)
            for what, words in PROGRAMS.items():
                whole = seconds(command(f"program={words}"))
                times[way][what].append((whole[0] - boot[0], whole[1] - boot[1]))
        for what, command in native.items():
            times["native"][what].append(seconds(command))
    return {way: {what: [round(statistics.median(column), 3) for column in zip(*found)]
                  for what, found in kinds.items() if found} for way, kinds in times.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", type=lambda names: names.split(","), help="'record kvm' and its like")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("hindsight", nargs="?", default=f"{ROOT}/build/bin/hindsight")
    arguments = parser.parse_args()
    cache = subprocess.run([f"{ROOT}/scripts/fetch-linux.sh"], check=True, capture_output=True,
                           text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as work:
        program, autorun, awk = f"{work}/loads", f"{work}/autorun", f"{work}/script"
        subprocess.run(["gcc", "-O2", "-static", "-o", program, f"{ROOT}/guests/linux/loads.c"], check=True)
        with open(autorun, "w", encoding="ascii") as script:
            script.write(AUTORUN)
        with open(awk, "w", encoding="ascii") as script:
            script.write(f"#!/bin/sh\nexec busybox awk '{AWK}'\n")
        for script in (autorun, awk):
            os.chmod(script, 0o755)
        subprocess.run([f"{ROOT}/scripts/initramfs.sh", f"{work}/initrd", f"{autorun}:/autorun",
                        f"{program}:/bin/loads", f"{awk}:/bin/script"], check=True)
        ways = guest_commands(arguments.hindsight, cache, work)
        native = {name: [program, name, str(count)] for name, count in LOADS.items()}
        native["script"] = [f"{cache}/busybox", "awk", AWK]
        result = measure({name: ways[name] for name in arguments.ways or ways}, native, arguments.rounds)
    if arguments.json:
        print(json.dumps({"rounds": arguments.rounds, "programs": PROGRAMS, "seconds": result}))
        return
    print(f"{'elapsed / processor':20}" + "".join(f"{what:>17}" for what in ("boot", *PROGRAMS)))
    for way, kinds in result.items():
        cells = [f"{kinds[what][0]:8.2f} /{kinds[what][1]:6.2f}s" if what in kinds else "" for what in
                 ("boot", *PROGRAMS)]
        print(f"{way:20}" + "".join(f"{cell:>17}" for cell in cells))


if __name__ == "__main__":
    main()
