"""Flips single bytes of a trace at random offsets and replays each result.

Usage: damage.py HINDSIGHT TRACE COUNT SEED
Every replay must either refuse the trace (4) or be as before: identical. Half of the offsets are
anywhere, half outside the embedded boot files, which are most of a short trace.
"""
import os
import random
import subprocess
import sys


def replay(hindsight, path, *options):
    return subprocess.run([hindsight, "replay", path, *options], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=90)


def main():
    hindsight, trace, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    choose = random.Random(seed)
    good = open(trace, "rb").read()
    whole = replay(hindsight, trace)
    if whole.returncode != 0 or not whole.stdout.startswith(b"identical"):
        sys.exit(f"the trace itself: {whole.returncode} {whole.stdout}")
    flipped = trace + ".flipped"
    refused = same = 0
    boot_end = boot_files_end(hindsight, trace)
    for number in range(count):
        first = 0 if number % 2 else boot_end
        offset = choose.randrange(first, len(good))
        mask = choose.randrange(1, 256) if number % 4 < 2 else 1 << choose.randrange(8)
        bad = bytearray(good)
        bad[offset] ^= mask
        with open(flipped, "wb") as file:
            file.write(bad)
        result = replay(hindsight, flipped)
        what = f"offset {offset} of {len(good)}, xor {mask:#04x} (seed {seed})"
        if result.returncode == 4:
            message = result.stderr
            if message.count(b"\n") != 1 or not message.startswith(b"hindsight: "):
                sys.exit(f"{what}: not an error of one line: {message}")
            refused += 1
        elif result.returncode == 0 and result.stdout == whole.stdout:
            same += 1
        else:
            sys.exit(f"{what}: status {result.returncode}\n{result.stdout}\n{result.stderr}")
        check_tools(hindsight, flipped, what)
    os.remove(flipped)
    print(f"{count} bytes flipped: {refused} refused, {same} identical")


def boot_files_end(hindsight, trace):
    """Past the configuration and the boot files, as the file's own totals say."""
    import json
    result = subprocess.run([hindsight, "info", trace, "--json"], capture_output=True, check=True)
    info = json.loads(result.stdout)
    return min(info["configuration"]["stored_bytes"], info["file_bytes"] - 1)


def check_tools(hindsight, path, what):
    """The other readers of traces may refuse it or not, but end in order."""
    for command in ("info", "dump", "verify"):
        result = subprocess.run([hindsight, command, path], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=90)
        if result.returncode not in (0, 4):
            sys.exit(f"{what}: {command} gives {result.returncode}: {result.stderr}")


main()
