"""A language server's client, as small as these tests need: it opens a text, asks what is offered, waits for problems."""

import json
import queue
import subprocess
import threading
import time

BOUND = 60
LOADING = 15


class Server:
    def __init__(self, command, folder, settings=None, options=None):
        self.settings = settings or {}
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.folder = folder
        self.incoming = queue.Queue()
        self.problems = {}
        self.last_id = 0
        threading.Thread(target=self._read, daemon=True).start()
        answer = self.request(
            "initialize",
            {
                "processId": None,
                "rootUri": folder.as_uri(),
                "workspaceFolders": [{"uri": folder.as_uri(), "name": "test"}],
                "initializationOptions": options or {},
                "capabilities": {
                    "workspace": {"configuration": True, "workspaceFolders": True},
                    "textDocument": {
                        "completion": {"completionItem": {"snippetSupport": False, "documentationFormat": ["plaintext"]}},
                        "publishDiagnostics": {},
                        "diagnostic": {},
                    },
                },
            },
        )
        # Whether it waits to be asked about problems.
        self.pulls = "diagnosticProvider" in answer["capabilities"]
        self.notify("initialized", {})
        self.notify("workspace/didChangeConfiguration", {"settings": self.settings})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.request("shutdown", None)
            self.notify("exit", None)
            self.process.wait(5)
        except Exception:
            pass
        finally:
            self.process.kill()
            self.process.wait()

    def open(self, path, language):
        text = path.read_text()
        document = {"uri": path.as_uri(), "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def completions(self, path, line, character, wanted):
        """Labels that are offered at a place, counted from 0, once those that are wanted are among them."""
        position = {"textDocument": {"uri": path.as_uri()}, "position": {"line": line, "character": character}}
        deadline = time.monotonic() + LOADING
        while True:
            answer = self.request("textDocument/completion", position)
            items = answer if isinstance(answer, list) else (answer or {}).get("items", [])
            labels = {item["label"].strip("\"'?") for item in items}
            # Servers answer before they have loaded what an answer needs.
            if wanted <= labels or time.monotonic() > deadline:
                return labels

    def diagnostics(self, path, wanted):
        """The messages about a text, once one of them says what is wanted; else the last ones that came."""
        deadline = time.monotonic() + LOADING
        messages = []
        while time.monotonic() < deadline:
            if self.pulls:
                answer = self.request("textDocument/diagnostic", {"textDocument": {"uri": path.as_uri()}})
                self.problems[path.as_uri()] = answer.get("items", [])
            found = self.problems.get(path.as_uri(), [])
            # Hints and information are no problems.
            messages = [one["message"] for one in found if one.get("severity", 1) <= 2]
            if any(wanted in message for message in messages):
                return messages
            try:
                self._handle(self.incoming.get(timeout=0.2))
            except queue.Empty:
                pass
        return messages

    def request(self, method, params):
        self.last_id += 1
        number = self.last_id
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        deadline = time.monotonic() + BOUND
        while time.monotonic() < deadline:
            try:
                message = self.incoming.get(timeout=1)
            except queue.Empty:
                if self.process.poll() is not None:
                    raise RuntimeError(f"the server has ended with {self.process.returncode}")
                continue
            if message.get("id") == number and "method" not in message:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message.get("result")
            self._handle(message)
        raise RuntimeError(f"{method}: no answer")

    def notify(self, method, params):
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def _handle(self, message):
        method = message.get("method")
        if method == "textDocument/publishDiagnostics":
            self.problems[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message and method:
            result = None
            if method == "workspace/configuration":
                result = [self.settings.get(item.get("section") or "") for item in message["params"]["items"]]
            self._send({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _send(self, message):
        body = json.dumps(message).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _read(self):
        while True:
            length = 0
            while True:
                line = self.process.stdout.readline()
                if not line:
                    return
                if line == b"\r\n":
                    break
                name, _, value = line.decode().partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            self.incoming.put(json.loads(self.process.stdout.read(length)))
