#!/usr/bin/env python3
"""What recording costs a guest that does nothing but disk I/O, as ratios from one run.

Usage: bench/disk.py [--build DIR] [--engine E] [--level L] [--rounds N] [--images DIR] [--json]

Time: the disk guest (write, read back, verify, flush) over an array, `record` against `run`. Both
run alternately on fresh images, so that the host's moods meet both; the figures are medians of the
rounds' ratios of elapsed and of processor time (all threads), with the spread. The start of the
process, the machine and the array, measured with a guest that reads one sector, is taken off. The
images are in memory by default: waiting for a real disk would only make recording look cheaper.

Space: bytes of trace per member sector written (notes of requests and member accesses, with the
digests; all checks of the run are charged to them) and per sector first read, for base contents
that do not compress, that do, and zeroes (all inputs of the run are charged to them).
"""
import argparse
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

MEMBERS = {0: 2, 1: 2, 5: 4}


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Bench:
    def __init__(self, options, work):
        self.hindsight = os.path.join(options.build, "bin", "hindsight")
        self.guest = os.path.join(options.build, "guests", "disk.elf")
        self.engine, self.level, self.rounds = options.engine, options.level, options.rounds
        self.megabytes = options.size
        self.paths = [os.path.join(work, f"member{i}") for i in range(MEMBERS[self.level])]
        self.trace = os.path.join(work, "t.hst")

    def call(self, *arguments):
        return subprocess.run([self.hindsight, *arguments], check=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout

    def create(self, fill=None):
        """A fresh array; `fill` gives the content of each member's data, a megabyte at a time."""
        self.call("raid", "create", "--force", "--level", str(self.level), "--chunk", "64K",
                  "--size", f"{self.megabytes}M", *self.paths)
        for path in self.paths if fill else []:
            with open(path, "r+b") as file:
                for _ in range(self.megabytes):
                    file.write(fill())

    def run(self, verb, append, trace=None):
        """Elapsed and processor time."""
        disk = f"raid={self.level}" + "".join(f",file={path}" for path in self.paths)
        command = [verb, "--engine", self.engine, "--pace", "fast", "--kernel", self.guest,
                   "--append", append, "--disk", disk, "--serial", "null"]
        if verb == "record":
            command += ["-o", trace or self.trace]
        begin, used = time.monotonic(), processor_seconds()
        self.call(*command)
        return time.monotonic() - begin, processor_seconds() - used

    def times(self, append):
        ratios = {"elapsed": [], "processor": []}
        seconds = {"run": [], "record": []}
        for number in range(self.rounds):
            net = {}
            # Who goes first changes too.
            for verb in ("run", "record") if number % 2 else ("record", "run"):
                self.create()
                empty = self.run(verb, "passes=0 sectors=1")
                self.create()
                full = self.run(verb, append)
                net[verb] = [full[i] - empty[i] for i in range(2)]
                seconds[verb].append(net[verb][0])
            for i, kind in enumerate(ratios):
                ratios[kind].append(net["record"][i] / net["run"][i])
        return {"append": append, "run_s": statistics.median(seconds["run"]),
                "record_s": statistics.median(seconds["record"]),
                **{kind: {"ratio": statistics.median(values), "min": min(values),
                          "max": max(values)} for kind, values in ratios.items()}}

    def traced(self, append, fill=None):
        """Stored bytes of a trace's inputs and checks, and what they are about."""
        self.create(fill)
        self.run("record", append)
        info = json.loads(self.call("info", "--json", self.trace))
        found = re.search(rb"input sectors +(\d+) records +(\d+) bytes",
                          self.call("info", self.trace))
        written = accesses = 0
        for line in self.call("dump", "--kind", "disk", "--json", self.trace).splitlines():
            note = json.loads(line)
            if note["note"] == "member":
                accesses += 1
                written += note["count"] if note["kind"] in ("write", "zero") else 0
        return {"inputs": info["inputs"]["stored_bytes"], "checks": info["checks"]["stored_bytes"],
                "read": int(found[2]) // 512 if found else 0, "written": written,
                "accesses": accesses}

    def space(self):
        generator = random.Random(1)
        text = b"".join(b"%d: the quick brown fox jumps over the lazy dog\n" % i
                        for i in range(1 << 15))[:1 << 20]
        contents = {"random": lambda: generator.randbytes(1 << 20), "text": lambda: text,
                    "zero": None}
        # Writes that cut stripes read what is next to them.
        reads = {name: self.traced("passes=1 random=400", fill) for name, fill in contents.items()}
        writes = {"128 KiB": self.traced("passes=1 random=0"),
                  "0.5 to 12 KiB": self.traced("passes=1 random=1500 sectors=2048")}
        return {"first_read": {name: {"sectors": row["read"], "bytes": row["inputs"] / row["read"]}
                               for name, row in reads.items()},
                "written": {name: {"sectors": row["written"], "accesses": row["accesses"],
                                   "bytes": row["checks"] / row["written"]}
                            for name, row in writes.items()}}


def show(result):
    print(f"engine {result['engine']}, RAID {result['level']}, {result['rounds']} rounds")
    for row in result["time"]:
        elapsed, processor = row["elapsed"], row["processor"]
        print(f"  {row['append']}: run {row['run_s']:.3f} s, record {row['record_s']:.3f} s, "
              f"ratio {elapsed['ratio']:.3f} ({elapsed['min']:.3f} to {elapsed['max']:.3f}), "
              f"processor time {processor['ratio']:.3f} "
              f"({processor['min']:.3f} to {processor['max']:.3f})")
    for name, row in result["space"]["written"].items():
        print(f"  writes of {name}: {row['bytes']:.3f} bytes/sector written, "
              f"{row['sectors']} sectors, {row['accesses']} member accesses")
    for name, row in result["space"]["first_read"].items():
        print(f"  base content {name}: {row['bytes']:.1f} bytes/sector first read, "
              f"{row['sectors']} sectors")


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=os.path.join(root, "build"))
    parser.add_argument("--engine", default="soft", choices=("kvm", "soft"))
    parser.add_argument("--level", type=int, default=5, choices=sorted(MEMBERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=16, help="MiB of each member")
    parser.add_argument("--images", default="/dev/shm", help="directory for images and trace")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.images) as work:
        bench = Bench(options, work)
        result = {"engine": options.engine, "level": options.level, "rounds": options.rounds,
                  "time": [bench.times("random=0"),
                           bench.times("passes=1 random=4000 sectors=4096")],
                  "space": bench.space()}
    if options.json:
        json.dump(result, sys.stdout, indent=1)
        print()
    else:
        show(result)


main()
