"""What a bench's JSON says of where its figures come from."""
import os
import platform
import subprocess


def describe():
    """CPU, kernel and load of this host."""
    model = {}
    with open("/proc/cpuinfo") as file:
        for line in file:
            key, _, value = line.partition(":")
            model.setdefault(key.strip(), value.strip())
    return {"cpu": model.get("model name"),
            "family_model_stepping": [model.get(key) for key in ("cpu family", "model", "stepping")],
            "cpus": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]}


def commit():
    """The commit that the working tree is of, with + where it differs."""
    done = subprocess.run(["git", "describe", "--always", "--abbrev=40", "--dirty=+"],
                          cwd=os.path.dirname(os.path.abspath(__file__)),
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() or None
