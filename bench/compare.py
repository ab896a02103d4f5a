#!/usr/bin/env python3
"""The software CPU of two commits on the same guest image, run in turn, so that both see the same
machine: million instructions per second, and the second's ratio to the first.

usage: bench/compare.py COMMIT [COMMIT] [--loads integer,memory,...] [--scale X] [--repeat N]
                        [--json FILE] [--keep DIRECTORY]

Without a second commit the first is compared with the working tree. Each commit is built in a
directory of its own (--keep: where, to be used again). The JSON holds host, commits and ratios.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import host
from cpu import LOADS, timed

TREE = "working tree"


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stdout[-2000:]}")
    return done.stdout.strip()


def built(top, commit, keep):
    """The directory of a build of `commit`, with its bench_cpu and guests."""
    if commit == TREE:
        source = top
        build = os.path.join(keep, "tree")
    else:
        commit = run("git", "-C", top, "rev-parse", "--verify", commit + "^{commit}")
        source = os.path.join(keep, commit, "source")
        build = os.path.join(keep, commit, "build")
        if not os.path.exists(source):
            os.makedirs(source)
            archive = os.path.join(keep, commit, "source.tar")
            run("git", "-C", top, "archive", "-o", archive, commit)
            run("tar", "-xf", archive, "-C", source)
    run("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", build, "--target", "bench_cpu", "guest_bench_cpu")
    return build, commit


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commits", nargs="+")
    parser.add_argument("--loads", default=",".join(name for _, name, _ in LOADS))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--keep")
    options = parser.parse_args()
    commits = options.commits + [TREE] * (len(options.commits) == 1)
    if len(commits) != 2:
        parser.error("one or two commits")
    top = run("git", "rev-parse", "--show-toplevel")
    with tempfile.TemporaryDirectory() as scratch:
        keep = os.path.abspath(options.keep or scratch)
        os.makedirs(keep, exist_ok=True)
        builds = [built(top, commit, keep) for commit in commits]
        guest = os.path.join(builds[0][0], "guests", "bench_cpu.elf")
        rows = {}
        print(f"{'load':10}{'first M/s':>12}{'second M/s':>12}{'ratio':>8}")
        for number, name, rounds in LOADS:
            if name not in options.loads.split(","):
                continue
            rounds = max(1, int(rounds * options.scale))
            best, insns = {}, {}
            for count in (0, rounds) * options.repeat:
                for which, (build, _) in enumerate(builds):
                    command = [os.path.join(build, "bin", "bench_cpu"), guest,
                               f"load={number} rounds={count}"]
                    seconds, output = timed(command, 0)
                    best[which, count] = min(seconds, best.get((which, count), seconds))
                    insns[which, count] = int(output.split()[0])
            rates = [(insns[which, rounds] - insns[which, 0])
                     / max(best[which, rounds] - best[which, 0], 1e-3) / 1e6 for which in (0, 1)]
            rows[name] = {"first": rates[0], "second": rates[1], "ratio": rates[1] / rates[0]}
            print(f"{name:10}{rates[0]:12.1f}{rates[1]:12.1f}{rates[1] / rates[0]:8.3f}", flush=True)
    result = {"bench": "cpu", "unit": "million instructions per second", "host": host.describe(),
              "commits": [commit for _, commit in builds], "repeat": options.repeat, "loads": rows}
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")


main()
