#!/usr/bin/env python3
"""What it costs that a daemon is killed or upgraded: beside it, where given, what PM2 loses in the same drills.

    python3 tests/bench/survival.py --pmrun target/release/pmrun [--pm2 node_modules/.bin/pm2] --rounds 5

Each round starts 100 apps and an HTTP server that is asked all the time, kills the daemon with SIGKILL, and has it
become another program (`daemon upgrade`; `pm2 update`). Then: the memory of daemon and keeper with no apps and with
500, and how long a change takes that only has to become durable. Prints medians, asserts nothing.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

SERVER = """
const server = require('http').createServer((_, answer) => setTimeout(() => answer.end('ok'), 5))
server.listen(Number(process.env.PORT), '127.0.0.1')
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


def until(what, bound):
    """Seconds until it is true, or None."""
    began = time.monotonic()
    while time.monotonic() - began < bound:
        if what():
            return time.monotonic() - began
        os.sched_yield()
    return None


def pss(pid):
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


class Client(threading.Thread):
    """One request after the other, each on a connection of its own; the server takes 5 ms for each."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.asked, self.failed, self.over = port, 0, 0, threading.Event()

    def run(self):
        while not self.over.is_set():
            self.asked += 1
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as stream:
                    stream.settimeout(1)
                    stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    self.failed += not stream.recv(64).startswith(b"HTTP/1.1 200")
            except OSError:
                self.failed += 1

    def ask(self, more, bound=5):
        """Until it has asked so many times more, or has been at it for so many seconds."""
        end = self.asked + more
        until(lambda: self.asked >= end, bound)


class Manager:
    def __init__(self, program):
        self.program = str(Path(program).absolute())
        self.folder = Path(tempfile.mkdtemp(prefix="survival-", dir="/tmp"))
        self.home = self.folder / "home"
        self.env = {**os.environ, "PMRUN_HOME": str(self.home), "PM2_HOME": str(self.home),
                    "PM2_DISABLE_VERSION_CHECK": "true", "PM2_DISCRETE_MODE": "true"}

    def run(self, *words):
        return subprocess.run([self.program, *words], env=self.env, capture_output=True, text=True, timeout=300)

    def pids(self):
        """Of every app's process, by the folder that it runs in."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "cwd") == str(self.folder / "apps"):
                    found.append(int(entry.name))
            except OSError:
                pass
        return {pid for pid in found if alive(pid)}

    def config(self, count, port=None):
        cwd = self.folder / "apps"
        cwd.mkdir(exist_ok=True)
        (cwd / "server.js").write_text(SERVER)
        app = {"script": "/bin/sleep", "args": ["1000000"], "interpreter": "none", "cwd": str(cwd)}
        apps = [{**app, "name": f"app-{number}"} for number in range(count)]
        if port:
            apps.append({"name": "server", "script": "server.js", "cwd": str(cwd), "env": {"PORT": port}})
        file = self.folder / "ecosystem.json"
        file.write_text(json.dumps({"apps": apps}))
        return str(file)

    def end(self):
        self.run("kill")
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


class Pmrun(Manager):
    start = "apply"

    def call(self, request):
        """The last answer, or None when nobody gives one."""
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(5)
                stream.connect(str(self.home / "pmrun.sock"))
                call = json.dumps({"protocol": 1, "version": "0", "pid": os.getpid(), "request": request}).encode()
                stream.sendall(struct.pack(">I", len(call)) + call)
                answer = None
                while head := stream.recv(4, socket.MSG_WAITALL):
                    answer = stream.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL)
                return answer and json.loads(answer)
        except OSError:
            return None

    def daemon(self):
        return int((self.home / "pmrun.pid").read_text())

    def serving(self):
        """The pid of the daemon that answers."""
        answer = self.call({"do": "ping"})
        return answer and answer.get("pid")

    def is_at_rest(self):
        """What the last command came to is on the disk."""
        generations = self.call({"do": "history", "count": 1})["generations"]
        return all(generation.get("result") for generation in generations)

    def upgrade(self):
        return self.run("daemon", "upgrade")


class Pm2(Manager):
    start = "start"

    def daemon(self):
        return int((self.home / "pm2.pid").read_text())

    def serving(self):
        """Whose socket takes connections; asking by the command would start another daemon."""
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.connect(str(self.home / "rpc.sock"))
                return self.daemon()
        except OSError:
            return None

    def upgrade(self):
        return self.run("update")


def gaps(manager, over, found):
    """The longest time between two answers, until it is over."""
    last, longest = time.monotonic(), 0.0
    while not over.is_set():
        if manager.serving():
            now = time.monotonic()
            longest, last = max(longest, now - last), now
    found.append(max(longest, time.monotonic() - last))


def upgraded(manager):
    """Seconds for which nobody answered; of pmrun alone, as PM2's update does not go through while its socket is used."""
    over, found = threading.Event(), []
    watcher = threading.Thread(target=gaps, args=(manager, over, found))
    if isinstance(manager, Pmrun):
        watcher.start()
    done = manager.upgrade()
    if done.returncode != 0:
        raise SystemExit(f"{manager.program} was not upgraded: {done.stdout[-500:]} {done.stderr[-500:]}")
    over.set()
    if isinstance(manager, Pmrun):
        watcher.join()
    return found[0] * 1e3 if found else None


def drills(kind, program, count):
    """What happened in one round: figures by their names."""
    manager = kind(program)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    figures = {}
    try:
        done = manager.run(kind.start, manager.config(count, port))
        if until(lambda: len(manager.pids()) == count + 1, 60) is None:
            raise SystemExit(f"{program} did not start all: {done.stdout[-500:]} {done.stderr[-500:]}")
        client = Client(port)
        until(lambda: not client.failed and socket.socket().connect_ex(("127.0.0.1", port)) == 0, 10)
        client.start()
        for name in ["upgrade", "kill -9"]:
            before, failed = manager.pids(), client.failed
            if name == "upgrade":
                figures["upgrade: gap, ms"] = upgraded(manager)
            else:
                daemon = manager.serving()
                os.kill(daemon, signal.SIGKILL)
                back = until(lambda: manager.serving() not in (None, daemon), 10)
                figures["kill -9: another serves after, ms"] = None if back is None else back * 1e3
            # What becomes of apps takes its time.
            client.ask(200)
            after = manager.pids()
            figures[f"{name}: processes lost"] = len(before - after)
            figures[f"{name}: requests failed"] = client.failed - failed
        client.over.set()
        client.join()
        return figures
    finally:
        manager.end()


def settle(pid, quiet=8.0):
    """Until its memory has not changed for so many seconds."""
    seen = [pss(pid), time.monotonic()]

    def is_quiet():
        now = pss(pid)
        if now != seen[0]:
            seen[:] = [now, time.monotonic()]
        return time.monotonic() - seen[1] > quiet

    until(is_quiet, 60)


def memory(program, count):
    manager = Pmrun(program)
    try:
        manager.run("apply", manager.config(max(count, 1)))
        if count == 0:
            manager.run("delete", "all")
        daemon = manager.daemon()
        settle(daemon)
        keeper = int(Path(f"/proc/{daemon}/stat").read_text().rsplit(") ", 1)[1].split()[1])
        own = os.readlink(f"/proc/{daemon}/exe")
        helpers = Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
        helpers = [pid for pid in helpers if os.readlink(f"/proc/{pid}/exe") == own]
        return [pss(pid) for pid in [daemon, keeper, *helpers]]
    finally:
        manager.end()


def changes(program, count):
    """Of jobs that are done it only has to be recorded that they are stopped."""
    manager = Pmrun(program)
    try:
        cwd = manager.folder / "apps"
        cwd.mkdir()
        job = {"script": "/bin/true", "interpreter": "none", "autorestart": False, "cwd": str(cwd)}
        file = manager.folder / "jobs.json"
        file.write_text(json.dumps({"apps": [{**job, "name": f"job-{number}"} for number in range(count)]}))
        manager.run("apply", str(file))
        taken = []
        for number in range(count):
            # What became of the one before is recorded without anybody waiting for it.
            until(manager.is_at_rest, 5)
            began = time.monotonic()
            manager.call({"do": "stop", "targets": [f"job-{number}"]})
            taken.append((time.monotonic() - began) * 1e3)
        return taken
    finally:
        manager.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pmrun", required=True)
    parser.add_argument("--pm2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--apps", type=int, default=100)
    options = parser.parse_args()
    managers = [("pmrun", Pmrun, options.pmrun)] + ([("pm2", Pm2, options.pm2)] if options.pm2 else [])
    rounds = {name: [] for name, *_ in managers}
    for _ in range(options.rounds):
        for name, kind, program in managers:
            rounds[name].append(drills(kind, program, options.apps))
    for name, found in rounds.items():
        print(f"{name}, {options.apps} apps and a server, {len(found)} rounds")
        for figure in found[0]:
            values = [one[figure] for one in found]
            known = [value for value in values if value is not None]
            text = f"{statistics.median(known):.1f}  [{', '.join(f'{value:.1f}' for value in known)}]" if known else "never"
            print(f"  {figure:34} {text}")
    for count in [0, 500]:
        parts = memory(options.pmrun, count)
        print(f"pmrun with {count} apps: PSS {sum(parts)} kB (daemon, keeper, others: {parts})")
    taken = changes(options.pmrun, 50)
    print(f"a change that only has to be durable: {statistics.median(taken):.2f} ms [best {min(taken):.2f}, worst {max(taken):.2f}]")


if __name__ == "__main__":
    main()
