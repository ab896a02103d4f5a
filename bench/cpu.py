#!/usr/bin/env python3
"""Million guest instructions per second: the software CPU beside QEMU's TCG, plain and with
-icount shift=0, on the same guest image in the same run.

usage: bench/cpu.py [BUILD_DIRECTORY] [--scale X] [--repeat N] [--json FILE]

The JSON holds host, commit, rates and ratios. bench/compare.py compares two commits.

Instructions are counted by the software CPU. Times are processor time (user and system, so that
other load on the machine matters less), the best of N runs of the whole process, less the best time
of a run with no rounds: start-up and boot do not count.
"""
import argparse
import json
import os
import resource
import subprocess
import sys

import host

LOADS = [  # number, name, rounds that take a second or so on the software CPU
    (1, "integer", 1200),
    (2, "memory", 200),
    (3, "calls", 2000),
    (4, "x87", 600),
    (5, "sse", 600),
    (6, "pages", 4000),
]


def timed(command, expected):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != expected:
        sys.exit(f"{command[0]}: exit status {done.returncode}: {done.stderr.strip()}")
    return seconds, done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = {}
    guest = os.path.join(options.build, "guests", "bench_cpu.elf")
    soft = os.path.join(options.build, "bin", "bench_cpu")
    qemu = ["qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-serial", "null",
            "-monitor", "none", "-no-reboot", "-m", "64", "-nodefaults",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", guest]
    runners = [
        ("soft", lambda text: [soft, guest, text], 0),
        ("tcg", lambda text: qemu + ["-append", text], 1),
        ("icount", lambda text: qemu + ["-icount", "shift=0", "-append", text], 1),
    ]
    print(f"{'load':10}{'M insns':>9}" + "".join(f"{name + ' M/s':>13}" for name, _, _ in runners)
          + f"{'soft/tcg':>10}{'soft/icount':>13}")
    for number, name, rounds in LOADS:
        rounds = max(1, int(rounds * options.scale))
        best, insns = {}, {}
        for count in (0, rounds) * options.repeat:  # all in turn, so that all see the same machine
            for runner, command, status in runners:
                seconds, output = timed(command(f"load={number} rounds={count}"), status)
                best[runner, count] = min(seconds, best.get((runner, count), seconds))
                if runner == "soft":
                    insns[count] = int(output.split()[0])
        insns = insns[rounds] - insns[0]
        rates = [insns / max(best[runner, rounds] - best[runner, 0], 1e-3) / 1e6
                 for runner, _, _ in runners]
        print(f"{name:10}{insns / 1e6:9.0f}" + "".join(f"{rate:13.0f}" for rate in rates)
              + f"{rates[0] / rates[1]:10.2f}{rates[0] / rates[2]:13.2f}", flush=True)
        rows[name] = {runner: rate for (runner, _, _), rate in zip(runners, rates)}
        rows[name]["ratio"] = rates[0] / rates[1]
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"bench": "cpu", "unit": "million instructions per second",
                       "host": host.describe(), "commit": host.commit(), "loads": rows}, file,
                      indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
