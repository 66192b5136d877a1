#!/usr/bin/env python3
"""What logs cost: MB/s that one app gets rid of, and CPU seconds of pmrun's processes for a GB; asserts nothing.

    cargo build --release
    python3 tests/bench/logs.py --pmrun target/release/pmrun --mb 1000

A plain redirect by a shell, the same app under pmrun writing its file itself, and its lines passing through with the
time before each, as records, and into one more file; each with rotation off and, where it says so, on. Lines have 100
bytes; the app is a Python program that writes blocks of 64 KiB. Lines are counted at the end.
"""
import argparse
import gzip
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WRITER = """
import os, signal, sys, time
line = b"%s\\n" % (b"a line of a hundred bytes, as logs have them " * 3)[:99]
block = line * (65536 // len(line))
left = int(sys.argv[1]) * 1000000 // len(block)
began = time.monotonic()
for _ in range(left):
    os.write(1, block)
took = time.monotonic() - began
with open(sys.argv[2], "w") as fifo:
    fifo.write(f"{took} {left * len(block)} {left * (len(block) // len(line))}\\n")
signal.pause()
"""


def processes(home):
    """Pids of pmrun's own: the daemon and the log process."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            environ = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if len(words) > 1 and words[1] in (b"__daemon", b"__log") and f"PMRUN_HOME={home}".encode() in environ:
            found.append(int(entry.name))
    return found


def cpu(pids):
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def settle(pids, quiet=3.0, bound=600):
    """What they have used once it has not changed for so many seconds: rotation and compression go on behind the app."""
    began = since = time.monotonic()
    used = cpu(pids)
    while time.monotonic() - since < quiet and time.monotonic() - began < bound:
        os.sched_yield()
        now = cpu(pids)
        if now != used:
            used, since = now, time.monotonic()
    return used


def lines(logs):
    count = 0
    for path in Path(logs).glob("w-out.log*"):
        opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
        with opened as file:
            while block := file.read(1 << 20):
                count += block.count(b"\n")
    return count


def fifo_line(path):
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        if not select.select([fd], [], [], 600)[0]:
            raise SystemExit("the app did not end writing")
        return os.read(fd, 4096).decode().split()
    finally:
        os.close(fd)


def redirect(folder, writer, fifo, megabytes):
    log = folder / "plain.log"
    command = f"exec {sys.executable} {writer} {megabytes} {fifo} >>{log}"
    child = subprocess.Popen(["/bin/sh", "-c", command])
    try:
        took, size, _ = fifo_line(fifo)
    finally:
        child.kill()
        child.wait()
    log.unlink()
    return float(took), int(size)


def under_pmrun(binary, folder, writer, fifo, megabytes, options):
    # One of its own: the last one's log process may be ending still.
    home = Path(tempfile.mkdtemp(dir=folder))
    env = {"PATH": os.environ["PATH"], "PMRUN_HOME": str(home), "HOME": str(folder)}
    app = {"name": "w", "script": sys.executable, "interpreter": "none", "args": [str(writer), str(megabytes), str(fifo)],
           "error_file": "/dev/null", "log_max_size": 0, "min_uptime": 1, "log_retain": 10000, **options}
    file = folder / "eco.json"
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        file.write_text(json.dumps({"name": "bench", "apps": []}))
        subprocess.run([binary, "apply", str(file), "--allow-empty"], check=True, **quiet)
        before = cpu(processes(home))
        file.write_text(json.dumps({"name": "bench", "apps": [app]}))
        subprocess.run([binary, "apply", str(file)], check=True, **quiet)
        took, size, count = fifo_line(fifo)
        used = settle(processes(home))
        got = lines(home / "logs")
    finally:
        subprocess.run([binary, "kill"], **quiet)
        shutil.rmtree(home, ignore_errors=True)
    return float(took), int(size), used - before, got - int(count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pmrun", required=True)
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    binary = str(Path(options.pmrun).resolve())
    stamp = {"log_date_format": "YYYY-MM-DD HH:mm:ss.SSS"}
    cases = [
        ("raw", {}),
        ("raw, rotated at 10 MB", {"log_max_size": "10M"}),
        ("times", stamp),
        ("times, rotated at 10 MB, not compressed", {**stamp, "log_max_size": "10M", "log_compress": False}),
        ("records", {"log_type": "json"}),
        ("one more file", {"log_file": True}),
    ]
    with tempfile.TemporaryDirectory(prefix="pmb-", dir="/tmp") as root:
        folder = Path(root)
        writer, fifo = folder / "writer.py", folder / "fifo"
        writer.write_text(WRITER)
        os.mkfifo(fifo)
        for _ in range(options.rounds):
            took, size = redirect(folder, writer, fifo, options.mb)
            print(f"{'plain redirect':42} {size / took / 1e6:7.0f} MB/s", flush=True)
            for name, app in cases:
                took, size, used, off = under_pmrun(binary, folder, writer, fifo, options.mb, app)
                # A cut in the middle of a line leaves a line of spaces.
                more = f", {off:+} lines" if off else ""
                print(f"{name:42} {size / took / 1e6:7.0f} MB/s {used / (size / 1e9):7.2f} CPU-s/GB{more}", flush=True)


if __name__ == "__main__":
    main()
