#!/usr/bin/env python3
"""What pmrun costs, measured: prints medians and min..max, asserts nothing about time, cleans up after itself.

    cargo build --release
    python3 tests/bench/run.py --pmrun target/release/pmrun
    python3 tests/bench/run.py --pmrun target/release/pmrun --quick
    python3 tests/bench/run.py --pmrun target/release/pmrun --peer pm2=/usr/local/bin/pm2

Needs Python 3.9 and nothing else; node is measured beside `validate` where there is one. Everything happens in one
temporary folder, with homes of its own: nothing that runs on this machine already is looked at or touched.

Apps are `/bin/sh` that writes its name and pid into a FIFO and becomes `sleep`. A start is the moment at which that
line can be read, so shell start-up (about 1 ms) is part of every figure that ends in a new process. On a machine that
does other things, too, the smallest figure is the closest to the truth.
"""
import argparse
import json
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WAIT = 120.0


class Starts:
    """The FIFO that apps report to: (name, pid, seconds) in the order in which they came."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        # Open for both: it never ends, and no app waits for a reader.
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.rest = b""
        self.seen = []
        # When the command began that `run_watching` last ran.
        self.began = 0.0

    def read(self, seconds):
        if not select.select([self.fd], [], [], max(0.0, seconds))[0]:
            return
        now = time.monotonic()
        try:
            self.rest += os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return
        *lines, self.rest = self.rest.split(b"\n")
        for line in lines:
            name, pid = line.decode().split()
            self.seen.append((name, int(pid), now))

    def clear(self):
        time_out = time.monotonic() + WAIT
        while time.monotonic() < time_out:
            before = len(self.seen)
            self.read(0.05)
            if len(self.seen) == before:
                break
        self.seen.clear()

    def wait(self, count):
        """The moment of the last of so many starts; None when they do not come."""
        end = time.monotonic() + WAIT
        while len(self.seen) < count:
            if time.monotonic() > end:
                return None
            self.read(end - time.monotonic())
        return self.seen[count - 1][2]


class Pmrun:
    name = "pmrun"
    # What it takes to bring the daemon up and have nothing run.
    needs_apps = False

    def __init__(self, binary, folder):
        self.binary = str(Path(binary).resolve())
        self.home = folder / "home"
        self.file = folder / "ecosystem.config.json"
        self.env = dict(base_env(), PMRUN_HOME=str(self.home), HOME=str(folder))

    def version(self):
        return run([self.binary, "--version"], self.env).text.strip()

    def boot(self):
        empty = self.file.with_name("empty.json")
        empty.write_text(json.dumps({"name": "bench", "apps": []}))
        return run([self.binary, "apply", str(empty), "--allow-empty"], self.env)

    def apply_argv(self):
        return [self.binary, "apply", str(self.file)]

    def list_argv(self):
        return [self.binary, "list"]

    def validate_argv(self, file):
        return [self.binary, "validate", str(file)]

    def daemon(self):
        return int(json.loads(run([self.binary, "ping", "--json"], self.env).text)["daemon"]["pid"])

    def pids(self):
        instances = json.loads(run([self.binary, "list", "--json"], self.env).text)["instances"]
        return {one["name"]: one["pid"] for one in instances if one["pid"]}

    def kill(self):
        run([self.binary, "kill"], self.env, check=False)


class Pm2:
    name = "pm2"

    def __init__(self, binary, folder):
        self.binary = shutil.which(binary) or binary
        self.home = folder / "home"
        self.file = folder / "ecosystem.config.json"
        self.env = dict(base_env(), PM2_HOME=str(self.home), HOME=str(folder))

    def version(self):
        return "pm2 " + run([self.binary, "--version"], self.env).text.strip().splitlines()[-1]

    def boot(self):
        return run([self.binary, "ping"], self.env)

    def apply_argv(self):
        return [self.binary, "startOrReload", str(self.file)]

    def list_argv(self):
        return [self.binary, "list"]

    def validate_argv(self, file):
        return None

    def daemon(self):
        return int((self.home / "pm2.pid").read_text())

    def pids(self):
        text = run([self.binary, "jlist"], self.env).text
        return {one["name"]: one["pid"] for one in json.loads(text[text.index("["):]) if one["pid"]}

    def kill(self):
        run([self.binary, "kill"], self.env, check=False)


PEERS = {"pm2": Pm2}


class Ran:
    def __init__(self, code, seconds, text, began):
        self.code, self.seconds, self.text, self.began = code, seconds, text, began


def base_env():
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "NO_COLOR": "1"}


def run(argv, env, check=True, cwd=None):
    began = time.monotonic()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        # Not `wait(timeout)`: that polls, in steps of up to 50 ms.
        handle = os.pidfd_open(child.pid)
        try:
            if not select.select([handle], [], [], WAIT)[0]:
                child.kill()
                raise SystemExit(f"{argv} did not end within {WAIT:.0f} s")
            seconds = time.monotonic() - began
        finally:
            os.close(handle)
            code = child.wait()
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    if check and code != 0:
        raise SystemExit(f"{' '.join(argv)}: exit code {code}\n{text[-2000:]}")
    return Ran(code, seconds, text, began)


def run_watching(argv, env, starts, count):
    """Runs a command while reading starts as they come. -> (seconds to the last start or None, seconds to its end)"""
    began = starts.began = time.monotonic()
    child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    ended = None
    handle = os.pidfd_open(child.pid)
    try:
        while ended is None or len(starts.seen) < count:
            left = began + WAIT - time.monotonic()
            if left <= 0:
                break
            watched = [starts.fd] + ([handle] if ended is None else [])
            if handle in select.select(watched, [], [], left)[0]:
                ended = time.monotonic() - began
            starts.read(0)
    finally:
        os.close(handle)
        if ended is None:
            child.kill()
        child.wait()
    last = starts.seen[count - 1][2] - began if len(starts.seen) >= count else None
    return last, ended


def config(fifo, count, note=None):
    """`count` apps; the first one's environment says `note`."""
    def app(number):
        name = f"app-{number}"
        env = {"NOTE": note} if note and number == 0 else {}
        # The name as an argument: pm2 and pmrun both show it, and no two apps are alike.
        line = f"echo {name} $$ >'{fifo}'; exec sleep 1000000"
        return {"name": name, "script": "/bin/sh", "interpreter": "none", "exec_mode": "fork", "args": ["-c", line],
                "env": env, "restart_delay": 0, "max_restarts": 1000000}

    return json.dumps({"name": "bench", "apps": [app(number) for number in range(count)]})


def js_config():
    """Twelve apps as people write them: a little code, shared settings, overlays."""
    return """
const path = require('path');
const common = { cwd: __dirname, max_restarts: 10, kill_timeout: 3000, env: { NODE_ENV: 'development' } };
const names = ['api', 'web', 'admin', 'mailer', 'worker', 'cron', 'search', 'images', 'auth', 'events', 'docs', 'hooks'];
module.exports = {
  apps: names.map((name, index) => ({
    ...common,
    name,
    script: path.join(__dirname, 'app.sh'),
    args: ['--name', name],
    env: { ...common.env, PORT: 3000 + index },
    env_production: { NODE_ENV: 'production' },
    out_file: path.join('logs', `${name}.log`),
  })),
};
"""


def pss_kb(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def cpu_and_wakeups(pid):
    """Nanoseconds on a CPU and voluntary context switches, over all threads."""
    cpu = wakeups = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            cpu += int((task / "schedstat").read_text().split()[0])
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    wakeups += int(line.split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return cpu, wakeups


class Report:
    def __init__(self):
        self.rows = []

    def add(self, manager, what, unit, samples, bar=None):
        if not samples:
            self.note(manager, what, "no samples")
            return
        self.rows.append({"manager": manager, "what": what, "unit": unit, "samples": samples})
        median = statistics.median(samples)
        spread = f"{figure(min(samples))}..{figure(max(samples))}" if len(samples) > 1 else ""
        aim = f"first bar {bar}" if bar else ""
        print(f"{manager:6} {what:48} {figure(median):>9} {unit:4} {spread:20} {aim}".rstrip(), flush=True)

    def note(self, manager, what, text):
        print(f"{manager:6} {what:48} {text}", flush=True)


def figure(value):
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ms(seconds):
    return seconds * 1000


def measure(manager, folder, options, report):
    starts = Starts(folder / "starts")
    pids = set()
    try:
        walk(manager, folder, starts, pids, options, report)
    finally:
        manager.kill()
        # Whatever a manager that failed has left.
        for pid in pids | {pid for _, pid, _ in starts.seen}:
            try:
                if b"sleep\x001000000" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass
        os.close(starts.fd)


def walk(manager, folder, starts, pids, options, report):
    name, rounds, many = manager.name, options.rounds, options.apps

    def add(what, unit, samples, bar=None):
        # The bars are for the usual size.
        report.add(name, what, unit, samples, bar if name == "pmrun" and many == 500 else None)

    def lists(count, bar):
        samples = [ms(run(manager.list_argv(), manager.env).seconds) for _ in range(rounds)]
        add(f"list, {count} apps", "ms", samples, bar)

    js = folder / "twelve.config.js"
    js.write_text(js_config())
    app = folder / "app.sh"
    app.write_text("#!/bin/sh\nexec sleep 1000000\n")
    if manager.validate_argv(js):
        run(manager.validate_argv(js), manager.env)
        add("validate, 12 apps in JavaScript", "ms",
            [ms(run(manager.validate_argv(js), manager.env).seconds) for _ in range(rounds)], "25 ms")
        if shutil.which("node"):
            node = ["node", "-e", f"require({json.dumps(str(js))})"]
            report.add("node", "a bare `require` of the same file", "ms",
                       [ms(run(node, manager.env).seconds) for _ in range(rounds)])

    manager.boot()
    add("daemon's PSS, no apps", "kB", [pss_kb(manager.daemon())], "6,000 kB")

    small = min(100, many)
    manager.file.write_text(config(starts.path, small))
    run(manager.apply_argv(), manager.env)
    starts.wait(small)
    lists(small, "5 ms")
    manager.kill()
    starts.clear()

    # From nothing to everything running, a few times over.
    cold, returned = [], []
    for round_ in range(max(1, rounds // 5)):
        if round_:
            manager.kill()
            starts.clear()
        # A home of its own each time: nothing is known yet.
        shutil.rmtree(manager.home, ignore_errors=True)
        manager.boot()
        manager.file.write_text(config(starts.path, many))
        last, ended = run_watching(manager.apply_argv(), manager.env, starts, many)
        if last is None or ended is None:
            report.note(name, f"cold apply of {many}", f"only {len(starts.seen)} started")
            return
        cold.append(last)
        returned.append(ended)
    add(f"cold apply of {many}: the last app runs", "s", cold, "1.0 s")
    add(f"cold apply of {many}: the command returns", "s", returned)
    pids.update(manager.pids().values())
    lists(many, "10 ms")
    add(f"daemon's PSS, {many} apps", "kB", [pss_kb(manager.daemon())], "14,000 kB")

    before = manager.pids()
    samples = [ms(run(manager.apply_argv(), manager.env).seconds) for _ in range(rounds if name == "pmrun" else 1)]
    add(f"apply again, {many} apps, nothing changed", "ms", samples, "25 ms")
    after = manager.pids()
    changed = sum(after.get(app) != pid for app, pid in before.items())
    add("pids that this changed", "", [changed], "0")
    pids.update(after.values())

    samples = []
    for number in range(rounds if name == "pmrun" else 1):
        starts.clear()
        manager.file.write_text(config(starts.path, many, f"note-{number}"))
        last, _ = run_watching(manager.apply_argv(), manager.env, starts, 1 if name == "pmrun" else many)
        if last is not None:
            samples.append(ms(next(at for app, _, at in starts.seen if app == "app-0") - starts.began))
    add(f"one changed app of {many}: its new process", "ms", samples, "60 ms")

    samples = []
    for number in range(1, rounds + 1):
        target = f"app-{number % many}"
        starts.clear()
        pid = manager.pids()[target]
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        at = starts.wait(1)
        if at is not None:
            samples.append(ms(at - began))
    add("crash to the new process", "ms", samples, "3 ms")

    storm = min(200, many)
    samples = []
    for _ in range(max(1, rounds // 5)):
        starts.clear()
        victims = list(manager.pids().values())[:storm]
        began = time.monotonic()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        at = starts.wait(storm)
        if at is None:
            report.note(name, f"{storm} killed at once", f"only {len(starts.seen)} came back")
        else:
            samples.append(at - began)
    add(f"{storm} killed at once: all back", "s", samples, "0.25 s")
    pids.update(manager.pids().values())

    if options.idle:
        daemon = manager.daemon()
        # What the storm left to do is not idleness.
        starts.read(2.0)
        cpu, wakeups = cpu_and_wakeups(daemon)
        began = time.monotonic()
        starts.read(options.idle)
        minutes = (time.monotonic() - began) / 60
        cpu_after, wakeups_after = cpu_and_wakeups(daemon)
        add(f"idle CPU a minute, {many} apps", "ms", [(cpu_after - cpu) / 1e6 / minutes], "0")
        add(f"idle wakeups a minute, {many} apps", "", [(wakeups_after - wakeups) / minutes], "0")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pmrun", required=True, help="the binary; a release build, unless you know why not")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=BINARY", help=f"also: {', '.join(PEERS)}")
    parser.add_argument("--apps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=15, help="samples of what is quick")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of idleness to watch; 0 leaves it out")
    parser.add_argument("--quick", action="store_true", help="50 apps, 5 rounds, 5 s of idleness")
    parser.add_argument("--json", metavar="FILE", help="every sample")
    options = parser.parse_args()
    if options.quick:
        options.apps, options.rounds, options.idle = 50, 5, 5.0

    makers = [(Pmrun, options.pmrun)]
    for peer in options.peer:
        name, _, binary = peer.partition("=")
        if name not in PEERS:
            parser.error(f"no peer `{name}`: {', '.join(PEERS)}")
        makers.append((PEERS[name], binary or name))

    report = Report()
    print(f"{os.cpu_count()} CPUs, Linux {os.uname().release}, load {os.getloadavg()[0]:.2f}")
    # Not TMPDIR: a socket's path has 108 bytes at most.
    with tempfile.TemporaryDirectory(prefix="pmb-", dir="/tmp") as root:
        for number, (maker, binary) in enumerate(makers):
            folder = Path(root) / str(number)
            folder.mkdir()
            manager = maker(binary, folder)
            size = os.path.getsize(os.path.realpath(manager.binary)) // 1024
            print(f"\n{manager.version()}" + (f", {size:,} kB" if maker is Pmrun else ""), flush=True)
            measure(manager, folder, options, report)
    if options.json:
        Path(options.json).write_text(json.dumps(report.rows, indent=1))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
