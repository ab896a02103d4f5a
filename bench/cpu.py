#!/usr/bin/env python3
"""Million guest instructions per second: the software CPU beside QEMU's TCG, plain and with
-icount shift=0, on the same guest image in the same run.

usage: bench/cpu.py [BUILD_DIRECTORY] [--scale X] [--repeat N]

Instructions are counted by the software CPU. Times are the best of N runs of the whole process,
less the best time of a run with no rounds; so start-up and boot do not count.
"""
import argparse
import os
import subprocess
import sys
import time

LOADS = [  # number, name, rounds that take a second or so on the software CPU
    (1, "integer", 400),
    (2, "memory", 60),
    (3, "calls", 800),
    (4, "x87", 400),
    (5, "sse", 400),
    (6, "pages", 2000),
]


def timed(command, expected):
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - begin
    if done.returncode != expected:
        sys.exit(f"{command[0]}: exit status {done.returncode}: {done.stderr.strip()}")
    return seconds, done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
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
        insns, rates = 0, []
        for runner, command, status in runners:
            best = {}
            for count in (0, rounds):
                runs = [timed(command(f"load={number} rounds={count}"), status)
                        for _ in range(options.repeat)]
                best[count] = min(seconds for seconds, _ in runs)
                if runner == "soft":
                    insns = int(runs[0][1].split()[0]) - insns
            rates.append(insns / max(best[rounds] - best[0], 1e-6) / 1e6)
        print(f"{name:10}{insns / 1e6:9.0f}" + "".join(f"{rate:13.0f}" for rate in rates)
              + f"{rates[0] / rates[1]:10.2f}{rates[0] / rates[2]:13.2f}", flush=True)


main()
