#!/usr/bin/env python3
"""Shows that editors complete and check ecosystem files: runs the language servers that they use, headless.

    python3 tests/editor/run.py [--pmrun PATH] [--servers FOLDER]

Needs node. The servers come from npm, into FOLDER or a temporary one; a FOLDER that has them needs no network. Each server opens files that `pmrun init` has written and an option was added to, in a folder without any
other settings for editors; it offers what may be written there, and has to flag a misspelt option.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

from lsp import Server

NPM = [
    "vscode-langservers-extracted@4",
    "yaml-language-server@1",
    "typescript@5",
    "typescript-language-server@4",
    "typescript7@npm:typescript@7",
    "@taplo/lsp@0.8",
]
HERE = "\N{BLACK SQUARE}"
OPTIONS = {"instances", "exec_mode", "env", "max_memory_restart"}
MODES = {"fork", "cluster"}

# What `init` writes of an app's last option, and how another one follows it.
LAST = {
    "json": ('"script": "./app.js"', '"script": "./app.js", %s'),
    "yaml": ("    script: ./app.js\n", "    script: ./app.js\n    %s\n"),
    "toml": ('script = "./app.js"\n', 'script = "./app.js"\n%s\n'),
    "js": ('script: "./app.js"', 'script: "./app.js", %s'),
}
# What is offered at the mark, and what has to be flagged.
CASES = {
    "json": ('"exec_mode": "■"', '"■"', '"instnaces": 2', "instnaces", '"instances": "many"'),
    "yaml": ("exec_mode: ■", "■", "instnaces: 2", "instnaces", "instances: many"),
    "toml": ('exec_mode = "■"', "■", "instnaces = 2", "instnaces", 'instances = "many"'),
    "js": ('exec_mode: "■"', "■", "instnaces: 2", "instnaces", "instances: []"),
}
LAST["ts"], CASES["ts"] = LAST["js"], CASES["js"]


def install(folder):
    if not (folder / "node_modules" / "@taplo" / "lsp").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", *NPM]
        subprocess.run(command, cwd=folder, check=True)
    return folder / "node_modules" / ".bin"


class Project:
    """A folder with a file for each question, all there before a server looks."""

    def __init__(self, pmrun, root, name, ending, change=lambda text: text):
        self.folder = root / name
        self.folder.mkdir()
        self.ending = ending
        (self.folder / "app.js").write_text("")
        subprocess.run([pmrun, "init", "--format", ending], cwd=self.folder, check=True, stderr=subprocess.DEVNULL)
        first = self.folder / f"ecosystem.config.{ending}"
        self.text = change(first.read_text())
        assert LAST[ending][0] in self.text, self.text
        values, options, wrong, self.flagged, self.wrong_value = CASES[ending]
        self.values = self.write("values", values)
        self.options = self.write("options", options)
        self.wrong = self.write("wrong", wrong)
        self.value = self.write("value", self.wrong_value)
        first.unlink()

    def write(self, name, option):
        """Writes a file without its mark; where that was."""
        last, more = LAST[self.ending]
        text = self.text.replace(last, more % option)
        before = text.partition(HERE)[0]
        path = self.folder / f"{name}.{self.ending}"
        path.write_text(text.replace(HERE, ""))
        return path, before.count("\n"), len(before) - before.rfind("\n") - 1


class Check:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def that(self, holds, what, otherwise=""):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
        print(f"{'ok  ' if holds else 'FAIL'}  {what}" + ("" if holds else f": {otherwise}"))


def probe(check, name, command, project, language, settings=None, options=None):
    try:
        with Server(command, project.folder, settings, options) as server:
            ask(check, name, server, project, language)
    except (OSError, RuntimeError) as error:
        check.that(False, f"{name} answers", error)


def ask(check, name, server, project, language):
    path, line, column = project.values
    server.open(path, language)
    offered = server.completions(path, line, column, MODES)
    check.that(MODES <= offered, f"{name} offers the values of exec_mode", sorted(offered)[:20])

    path, line, column = project.options
    server.open(path, language)
    offered = server.completions(path, line, column, OPTIONS)
    check.that(OPTIONS <= offered, f"{name} offers options", sorted(offered)[:20])
    # TypeScript's types and taplo have no word for "known, and not offered".
    if project.ending in ("json", "yaml"):
        unwanted = {"maxMemoryRestart", "vizion"} & offered
        check.that(not unwanted, f"{name} offers each option by one name", unwanted)

    path, _, _ = project.wrong
    server.open(path, language)
    problems = server.diagnostics(path, project.flagged)
    check.that(any(project.flagged in problem for problem in problems), f"{name} flags `{project.flagged}`", problems)

    path, _, _ = project.value
    server.open(path, language)
    # Their own words would be a regular expression.
    words = "`instances` must be a whole number" if project.ending in ("json", "yaml") else ""
    problems = server.diagnostics(path, words)
    check.that(any(words in problem for problem in problems), f"{name} flags `{project.wrong_value}`", problems)


def exported(text):
    """The literal itself is exported, and has the type."""
    return text.replace("const config =", "module.exports =").replace("module.exports = config;\n", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pmrun", default="pmrun")
    parser.add_argument("--servers", type=pathlib.Path)
    arguments = parser.parse_args()
    pmrun = shutil.which(arguments.pmrun) or arguments.pmrun
    check = Check()
    with tempfile.TemporaryDirectory(prefix="pmrun-editor-") as temporary:
        root = pathlib.Path(temporary).resolve()
        servers = (arguments.servers or root / "servers").resolve()
        bin = install(servers)
        project = {ending: Project(pmrun, root, ending, ending) for ending in CASES}

        on = {"json": {"validate": {"enable": True}, "format": {"enable": False}, "schemas": []}}
        command = [bin / "vscode-json-language-server", "--stdio"]
        probe(check, "vscode-json-language-server", command, project["json"], "json", on)

        on = {"yaml": {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}}}
        command = [bin / "yaml-language-server", "--stdio"]
        probe(check, "yaml-language-server", command, project["yaml"], "yaml", on)

        # The second server that it would ask while the first one loads knows no types.
        library = str(servers / "node_modules/typescript/lib/tsserver.js")
        options = {"tsserver": {"path": library, "useSyntaxServer": "never"}}
        command = [bin / "typescript-language-server", "--stdio"]
        probe(check, "typescript-language-server, js", command, project["js"], "javascript", options=options)
        probe(check, "typescript-language-server, ts", command, project["ts"], "typescript", options=options)

        # The native one takes the type of `module.exports` itself, too; older ones want a constant.
        command = ["node", servers / "node_modules" / "typescript7" / "bin" / "tsc", "--lsp", "--stdio"]
        probe(check, "typescript 7, js", command, project["js"], "javascript")
        probe(check, "typescript 7, ts", command, project["ts"], "typescript")
        itself = Project(pmrun, root, "exports", "js", exported)
        probe(check, "typescript 7, module.exports", command, itself, "javascript")

        on = {"evenBetterToml": {"schema": {"enabled": True, "catalogs": []}}}
        command = ["node", pathlib.Path(__file__).resolve().parent / "taplo.cjs", servers]
        probe(check, "taplo", command, project["toml"], "toml", on)

    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
