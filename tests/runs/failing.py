"""failing.py HINDSIGHT PRELOAD WORK NAME EVERY ARGUMENT...

Runs `hindsight ARGUMENT...` (NAME is record, fork, replay, debug or raid) once for each call of
malloc, write, pwrite, fsync and mmap that it makes (for every EVERY-th of them), which is made to
fail: alone, and with all that follow. In an argument, TRACE and DISK are fresh copies or names in
WORK, and FOLDER a fresh copy of WORK/NAME, which may be missing.

Each run must end by itself, without a crash: with status 0 and the result that it would have had
anyway, or with another status and a message. A trace that is there replays as far as it goes; a
recording that says 0 is complete. The members of an array are still one. Nothing stays allocated
that is not at the end of a good run.
"""
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

hindsight, preload, work, name, every = sys.argv[1:5] + [int(sys.argv[5])]
arguments = sys.argv[6:]
EXPECTED = {125, 1}
MAKES_TRACE = name in ("record", "fork")


class Run:
    def __init__(self, number, kind, at, on):
        self.what = f"{kind} {at}{' and all later' if on else ''}"
        self.folder = os.path.join(work, f"failing.{number}")
        shutil.rmtree(self.folder, ignore_errors=True)
        template = os.path.join(work, name)
        shutil.copytree(template, self.folder) if os.path.isdir(template) else os.mkdir(self.folder)
        self.trace = os.path.join(self.folder, "t.hst")
        disk = os.path.join(self.folder, "disk.img")
        if any("DISK" in a for a in arguments):
            with open(disk, "wb") as file:
                file.truncate(1 << 15)
        self.count = os.path.join(self.folder, "count")
        self.command = [hindsight] + [a.replace("TRACE", self.trace).replace("DISK", disk)
                                      .replace("FOLDER", self.folder) for a in arguments]
        self.environment = dict(os.environ, LD_PRELOAD=preload, FAIL_KIND=kind, FAIL_AT=str(at),
                                FAIL_COUNT=self.count)
        if on:
            self.environment["FAIL_ON"] = "1"

    def go(self):
        done = subprocess.run(self.command, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        try:
            with open(self.count) as file:
                self.calls, self.left = map(int, file.read().split())
        except (FileNotFoundError, ValueError):
            self.calls = self.left = None
        return self

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def shown(run):
    """Its output, wherever its files are."""
    return run.out.replace(run.folder.encode(), b"FOLDER")


def judge(run, good):
    """What is wrong with a run, or None."""
    if run.status < 0 or run.status in (124, 134, 139):
        return f"crashed, status {run.status}"
    if run.status == 0 and not MAKES_TRACE and shown(run) != shown(good):
        return "status 0, but another result"
    if MAKES_TRACE and b" of virtual time: " in run.err:
        # The guest met the error and had its say: all that it did is recorded.
        return judge_trace(run, complete=True)
    if run.status not in EXPECTED | {0}:
        # The dynamic loader and readline give up by themselves.
        if run.status in (127, 2) and run.err:
            return None
        return f"status {run.status}"
    if run.status and not run.err and not run.out[len(os.path.commonprefix([run.out, good.out])):]:
        return "no message"
    if run.left is not None and run.left > good.left:
        return f"{run.left - good.left} more blocks stay allocated"
    if any(n.endswith(".part") for n in os.listdir(run.folder)):
        return "a part of a trace is left"
    if name == "raid":
        return judge_array(run)
    if MAKES_TRACE:
        return judge_trace(run, complete=run.status == 0)
    return None


def judge_array(run):
    """Whole, or degraded: it is still there."""
    files = [os.path.join(run.folder, n) for n in sorted(os.listdir(run.folder)) if n != "count"]
    status = subprocess.run([hindsight, "raid", "status", *files], stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=120)
    return f"the array is lost: {status.stderr + status.stdout}" if status.returncode else None


def judge_trace(run, complete):
    if not os.path.exists(run.trace):
        return "no trace" if complete else None
    replay = subprocess.run([hindsight, "replay", run.trace], stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=120)
    if replay.returncode:
        return f"the trace does not replay ({replay.returncode}): {replay.stderr + replay.stdout}"
    if complete and b"cut off" in replay.stdout:
        return "success and an incomplete trace"
    return None


def main():
    number = bad = total = 0
    with ThreadPoolExecutor(2) as pool:
        for kind in "malloc", "write", "pwrite", "fsync", "mmap":
            good = Run(number, kind, 0, False).go()
            number += 1
            if good.status:
                sys.exit(f"the run itself fails: {good.err}")
            runs = []
            for on in (False, True):
                for at in range(1, good.calls + 1, every):
                    runs.append((number, kind, at, on))
                    number += 1
            total += len(runs)

            def one(parts):
                run = Run(*parts)
                problem = judge(run.go(), good)
                run.close()
                return run, problem

            for run, problem in pool.map(one, runs):
                if problem:
                    bad += 1
                    text = run.err.decode(errors="replace").strip()
                    print(f"{name}: {run.what}: {problem}: {text}", file=sys.stderr)
            print(f"{name}: {good.calls} calls of {kind}", flush=True)
            good.close()
    if bad:
        sys.exit(f"{bad} of {total} end badly")
    print(f"{name}: {total} runs with a failure end well")


main()
