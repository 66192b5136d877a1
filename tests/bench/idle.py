#!/usr/bin/env python3
"""What an idle daemon costs: 500 apps, 50 of them with a health check every 10 s, 20 with cron.

    python3 tests/bench/idle.py --pmrun target/release/pmrun --rounds 6

Prints CPU and wakeups a minute, of all threads, over so many rounds of checks. Traffic goes to one listener on
loopback. Asserts nothing.
"""
import argparse
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path


def cost(pid):
    """Nanoseconds on a CPU and times switched away from it, of all threads."""
    cpu = switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu += int((task / "schedstat").read_text().split()[0])
        status = (task / "status").read_text()
        switches += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary_ctxt"))
    return cpu, switches


class Asked:
    """How often the listener was asked, which says how time goes for the daemon."""

    def __init__(self):
        self.count = 0
        self.changed = threading.Condition()

    def note(self):
        with self.changed:
            self.count += 1
            self.changed.notify_all()

    def wait(self, more, bound):
        """Until it was asked so many times more."""
        with self.changed:
            end = self.count + more
            if not self.changed.wait_for(lambda: self.count >= end, bound):
                raise SystemExit(f"asked {self.count - end + more} times in {bound} s, not {more}")


def serve(listener, asked):
    """Accepts and answers until the program ends."""
    while True:
        stream, _ = listener.accept()
        asked.note()
        with stream:
            stream.settimeout(0.2)
            try:
                if stream.recv(1024):
                    stream.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            except OSError:
                pass


def apps(count, checked, cron, check):
    for number in range(count):
        app = {"name": f"app-{number}", "script": "/bin/sleep", "args": ["1000000"], "interpreter": "none", "fingerprint": False}
        if number < checked:
            app["health_check"] = check | {"interval": "10s"}
        elif number < checked + cron:
            app["cron_restart"] = "0 3 * * *"
        yield app


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pmrun", required=True)
    parser.add_argument("--rounds", type=int, default=6, help="of checks, 10 s each")
    parser.add_argument("--apps", type=int, default=500)
    parser.add_argument("--checked", type=int, default=50)
    parser.add_argument("--cron", type=int, default=20)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listener.getsockname()[1]
    asked = Asked()
    threading.Thread(target=serve, args=(listener, asked), daemon=True).start()
    for name, check in [("tcp", {"tcp": f"127.0.0.1:{port}"}), ("http", {"http": f"http://127.0.0.1:{port}/"})]:
        folder = Path(tempfile.mkdtemp(prefix="pmrun-idle-", dir="/tmp"))
        env = os.environ | {"PMRUN_HOME": str(folder / "home")}
        try:
            file = folder / "eco.json"
            file.write_text(json.dumps(list(apps(options.apps, options.checked, options.cron, check))))
            subprocess.run([options.pmrun, "apply", str(file)], env=env, check=True, capture_output=True, timeout=120)
            pid = int((folder / "home/pmrun.pid").read_text())
            # The first checks of a process come fast, and what was started has to come to rest.
            asked.wait(8 * options.checked, 240)
            began, before = time.monotonic(), cost(pid)
            asked.wait(options.rounds * options.checked, 30 + 20 * options.rounds)
            after, minutes = cost(pid), (time.monotonic() - began) / 60
            cpu, switches = ((b - a) / minutes for a, b in zip(before, after))
            pss = sum(int(line.split()[1]) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
            print(f"{options.apps} apps, {options.checked} with {name} checks, {options.cron} with cron: "
                  f"{cpu / 1e6:.1f} ms CPU a minute, {switches:.0f} wakeups, PSS {pss} kB", flush=True)
        finally:
            subprocess.run([options.pmrun, "kill"], env=env, capture_output=True, timeout=120)
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
