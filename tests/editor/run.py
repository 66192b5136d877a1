#!/usr/bin/env python3
"""Shows that editors complete and check ecosystem files: runs the language servers that they use, headless.

    python3 tests/editor/run.py [--pmrun PATH] [--servers FOLDER]

Needs node. The servers come from npm, into FOLDER or a temporary one; a FOLDER that has them needs no network. taplo
is tried where there is one. Each server opens files that `pmrun init` has written the editor's line into, offers
what may be written there, and has to flag a misspelt option.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from lsp import Server

NPM = ["vscode-langservers-extracted@4", "yaml-language-server@1", "typescript@5", "typescript-language-server@4", "typescript7@npm:typescript@7"]
HERE = "\N{BLACK SQUARE}"
OPTIONS = {"instances", "exec_mode", "env", "max_memory_restart"}
MODES = {"fork", "cluster"}

JS = '/** @type {import("./pmrun").Config} */\n'

# Each file: what is offered at the mark, and what has to be flagged in it.
APP = {
    "json": '{\n  "$schema": "./pmrun.schema.json",\n  "apps": [\n    { "name": "api", "script": "./a.js", %s }\n  ]\n}\n',
    "yaml": "# yaml-language-server: $schema=./pmrun.schema.json\napps:\n  - name: api\n    script: ./a.js\n    %s\n",
    "toml": '#:schema ./pmrun.schema.json\n[[apps]]\nname = "api"\nscript = "./a.js"\n%s\n',
    "js": JS + "const config = { apps: [\n  { name: 'api', script: './a.js', %s },\n] };\nmodule.exports = config;\n",
    "ts": 'import type { Config } from "./pmrun";\n'
    + "const config: Config = { apps: [\n  { name: 'api', script: './a.js', %s },\n] };\nexport default config;\n",
    "exports.js": JS + "module.exports = { apps: [\n  { name: 'api', script: './a.js', %s },\n] };\n",
}
CASES = {
    "json": ('"exec_mode": "■"', '"■"', '"instnaces": 2', "instnaces", '"instances": "many"'),
    "yaml": ("exec_mode: ■", "■", "instnaces: 2", "instnaces", "instances: many"),
    "toml": ('exec_mode = "■"', "■", "instnaces = 2", "instnaces", 'instances = "many"'),
    "js": ('exec_mode: "■"', "■", "instnaces: 2", "instnaces", "instances: []"),
}


CASES["exports.js"] = CASES["ts"] = CASES["js"]


def install(folder):
    if not (folder / "node_modules" / ".bin" / "yaml-language-server").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", *NPM]
        subprocess.run(command, cwd=folder, check=True)
    return folder / "node_modules" / ".bin"


def taplo(folder):
    """Its path, where it is: what PyPI has is built without its language server."""
    return shutil.which("taplo", path=str(folder / "bin")) or shutil.which("taplo")


def write(folder, name, text):
    """Writes a file without its mark; where that was."""
    before = text.partition(HERE)[0]
    path = folder / name
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


def probe(check, name, server, folder, ending, language):
    try:
        ask(check, name, server, folder, ending, language)
    except (OSError, RuntimeError) as error:
        check.that(False, f"{name} answers", error)


def ask(check, name, server, folder, ending, language):
    values, options, wrong, flagged, wrong_value = CASES[ending]
    path, line, column = write(folder, f"values.{ending}", APP[ending] % values)
    server.open(path, language)
    offered = server.completions(path, line, column, MODES)
    check.that(MODES <= offered, f"{name} offers the values of exec_mode", sorted(offered)[:20])

    path, line, column = write(folder, f"options.{ending}", APP[ending] % options)
    server.open(path, language)
    offered = server.completions(path, line, column, OPTIONS)
    check.that(OPTIONS <= offered, f"{name} offers options", sorted(offered)[:20])
    if ending in ("json", "yaml"):
        unwanted = {"maxMemoryRestart", "vizion"} & offered
        check.that(not unwanted, f"{name} offers each option by one name", unwanted)

    path, _, _ = write(folder, f"wrong.{ending}", APP[ending] % wrong)
    server.open(path, language)
    problems = server.diagnostics(path, flagged)
    check.that(any(flagged in problem for problem in problems), f"{name} flags `{flagged}`", problems)

    path, _, _ = write(folder, f"value.{ending}", APP[ending] % wrong_value)
    server.open(path, language)
    problems = server.diagnostics(path, "")
    check.that(bool(problems), f"{name} flags `{wrong_value}`", problems)


def prepare(pmrun, folder):
    """The files beside the configs, as the program itself writes them."""
    for name, kind in [("pmrun.schema.json", "json"), ("pmrun.d.ts", "ts")]:
        text = subprocess.run([pmrun, "schema", "--format", kind], check=True, capture_output=True).stdout
        (folder / name).write_bytes(text)
    (folder / "a.js").write_text("")
    options = {"checkJs": True, "allowJs": True, "noEmit": True, "strict": True, "module": "commonjs", "target": "es2022"}
    (folder / "jsconfig.json").write_text(json.dumps({"compilerOptions": options}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pmrun", default="pmrun")
    parser.add_argument("--servers", type=pathlib.Path)
    arguments = parser.parse_args()
    check = Check()
    with tempfile.TemporaryDirectory(prefix="pmrun-editor-") as temporary:
        root = pathlib.Path(temporary).resolve()
        servers = (arguments.servers or root / "servers").resolve()
        bin = install(servers)
        folder = root / "project"
        folder.mkdir()
        prepare(arguments.pmrun, folder)

        on = {"validate": {"enable": True}, "format": {"enable": False}, "schemas": []}
        with Server([bin / "vscode-json-language-server", "--stdio"], folder, {"json": on}) as server:
            probe(check, "vscode-json-language-server", server, folder, "json", "json")

        on = {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}}
        with Server([bin / "yaml-language-server", "--stdio"], folder, {"yaml": on}) as server:
            probe(check, "yaml-language-server", server, folder, "yaml", "yaml")

        # The second server that it would ask while the first one loads knows no types.
        tsserver = {"path": str(servers / "node_modules/typescript/lib/tsserver.js"), "useSyntaxServer": "never"}
        command = [bin / "typescript-language-server", "--stdio"]
        with Server(command, folder, options={"tsserver": tsserver}) as server:
            probe(check, "typescript-language-server", server, folder, "js", "javascript")
            probe(check, "typescript-language-server", server, folder, "ts", "typescript")

        # The native one takes the type of `module.exports` itself, too; older ones want a constant.
        native = servers / "node_modules" / "typescript7" / "bin" / "tsc"
        with Server(["node", native, "--lsp", "--stdio"], folder) as server:
            probe(check, "typescript 7", server, folder, "js", "javascript")
            probe(check, "typescript 7", server, folder, "exports.js", "javascript")

        program = taplo(servers)
        if program is None:
            print("SKIPPED  taplo: `cargo install --root FOLDER taplo-cli` puts it where --servers FOLDER finds it")
        else:
            on = {"evenBetterToml": {"schema": {"enabled": True, "catalogs": []}}}
            with Server([program, "lsp", "stdio"], folder, on, options={"schema": {"enabled": True}}) as server:
                probe(check, "taplo", server, folder, "toml", "toml")

    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
