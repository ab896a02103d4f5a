#!/usr/bin/env python3
"""What recording costs, as ratios from one run.

Usage: bench/recording.py [--build DIR] [--engine E]... [--rounds N] [--json]

Time: the exits per second of a guest bound by port accesses, and the time of a guest that computes
in ring 3, `record` against `run`. Both run alternately, so that the host's moods meet both; the
figure is the median of the rounds' ratios, and the spread is shown. The ratio of processor time, all
threads together, is shown besides: on a busy host it is the steadier one, and it charges recording
with its disk thread. The start of the process and the machine is measured with a guest that does
nothing, and taken off.

Space: bytes of trace per event for long runs of the clock and ports guests, inputs and checks each.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time


class Bench:
    def __init__(self, build, engine, rounds, work):
        self.hindsight = os.path.join(build, "bin", "hindsight")
        self.guests = os.path.join(build, "guests")
        self.engine = engine
        self.rounds = rounds
        self.trace = os.path.join(work, "t.hst")

    def arguments(self, verb, guest, append):
        command = [self.hindsight, verb, "--engine", self.engine, "--pace", "fast",
                   "--kernel", os.path.join(self.guests, guest + ".elf"), "--append", append,
                   "--serial", "null"]
        return command + (["-o", self.trace] if verb == "record" else [])

    def seconds(self, verb, guest, append):
        """Elapsed and processor time."""
        begin, used = time.monotonic(), processor_seconds()
        subprocess.run(self.arguments(verb, guest, append), check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.monotonic() - begin, processor_seconds() - used

    def info(self):
        output = subprocess.run([self.hindsight, "info", "--json", self.trace], check=True,
                                capture_output=True).stdout
        return json.loads(output)

    def time_ratio(self, guest, append, idle):
        """Medians of run and record, net of an idle guest, and the ratio of each round."""
        times = {"run": [], "record": []}
        ratios, processor = [], []
        for number in range(self.rounds):
            # Who goes first changes too.
            for verb in ("run", "record") if number % 2 else ("record", "run"):
                empty, full = self.seconds(verb, *idle), self.seconds(verb, guest, append)
                times[verb].append((full[0] - empty[0], full[1] - empty[1]))
            ratios.append(times["record"][-1][0] / times["run"][-1][0])
            processor.append(times["record"][-1][1] / times["run"][-1][1])
        return {"guest": guest, "append": append, "events": self.info()["last_event"],
                "run_s": statistics.median(elapsed for elapsed, _ in times["run"]),
                "record_s": statistics.median(elapsed for elapsed, _ in times["record"]),
                "processor_ratio": statistics.median(processor),
                "ratio": statistics.median(ratios), "ratio_min": min(ratios),
                "ratio_max": max(ratios)}

    def space(self, guest, append):
        self.seconds("record", guest, append)
        info = self.info()
        events = info["last_event"]
        return {"guest": guest, "append": append, "events": events,
                "input_bytes": info["inputs"]["stored_bytes"] / events,
                "check_bytes": info["checks"]["stored_bytes"] / events}


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(bench, sizes):
    return {
        "engine": bench.engine,
        "rounds": bench.rounds,
        "time": [
            bench.time_ratio("pio", f"count={sizes['pio']}", ("pio", "count=1")),
            bench.time_ratio("pio", f"count={sizes['pio_user']} ring=3", ("pio", "count=1")),
            bench.time_ratio("compute", f"limit={sizes['compute']}", ("compute", "limit=10")),
        ],
        "space": [
            bench.space("clock", f"ticks={sizes['clock']}"),
            bench.space("ports", f"rounds={sizes['ports']}"),
            bench.space("pio", f"count={sizes['pio']}"),
        ],
    }


def show(result):
    print(f"engine {result['engine']}, {result['rounds']} rounds")
    for row in result["time"]:
        rate = row["events"] / row["run_s"], row["events"] / row["record_s"]
        print(f"  {row['guest']} {row['append']}: run {row['run_s']:.3f} s, "
              f"record {row['record_s']:.3f} s, ratio {row['ratio']:.3f} "
              f"({row['ratio_min']:.3f} to {row['ratio_max']:.3f}), "
              f"processor time {row['processor_ratio']:.3f}; "
              f"{rate[0]:.0f} and {rate[1]:.0f} exits/s")
    for row in result["space"]:
        print(f"  {row['guest']} {row['append']}: {row['events']} events, "
              f"{row['input_bytes']:.3f} bytes/event of inputs, "
              f"{row['check_bytes']:.3f} of checks")


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=os.path.join(root, "build"))
    parser.add_argument("--engine", action="append", choices=("kvm", "soft"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    engines = options.engine
    if not engines:
        engines = (["kvm"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else []) + ["soft"]
    sizes = {
        "kvm": {"pio": 60000, "pio_user": 20000, "compute": 8000000, "clock": 20000, "ports": 100},
        "soft": {"pio": 3000000, "pio_user": 2000000, "compute": 1000000, "clock": 20000,
                 "ports": 100},
    }
    results = []
    with tempfile.TemporaryDirectory() as work:
        for engine in engines:
            bench = Bench(options.build, engine, options.rounds, work)
            results.append(measure(bench, sizes[engine]))
            if not options.json:
                show(results[-1])
    if options.json:
        json.dump(results, sys.stdout, indent=1)
        print()


main()
