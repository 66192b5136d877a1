// The server behind VS Code's "Even Better TOML", on stdin and stdout: node taplo.cjs FOLDER, which has its package.
const fs = require("node:fs");
const path = require("node:path");
const url = require("node:url");

const folder = path.resolve(process.argv[2]);
const { TaploLsp } = require(require.resolve("@taplo/lsp", { paths: [folder] }));

// The schema is a file; the catalog of everybody's schemas is not wanted.
globalThis.fetch = () => Promise.reject(new Error("offline"));

const environment = {
  cwd: () => process.cwd(),
  envVar: (name) => process.env[name],
  envVars: () => Object.entries(process.env),
  findConfigFile: () => undefined,
  glob: () => [],
  isAbsolute: (file) => path.isAbsolute(file),
  now: () => new Date(),
  readFile: (file) => fs.promises.readFile(file),
  writeFile: (file, bytes) => fs.promises.writeFile(file, bytes),
  stdErrAtty: () => false,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  urlToFilePath: (address) => (address.startsWith("file:") ? url.fileURLToPath(address) : address),
};

function send(message) {
  const body = Buffer.from(JSON.stringify(message));
  process.stdout.write(`Content-Length: ${body.length}\r\n\r\n`);
  process.stdout.write(body);
}

/** The bytes of one message, and what follows it. */
function take(bytes) {
  const end = bytes.indexOf("\r\n\r\n");
  const length = end < 0 ? undefined : /content-length: *(\d+)/i.exec(bytes.toString("latin1", 0, end));
  const stop = length ? end + 4 + Number(length[1]) : Infinity;
  return stop <= bytes.length ? [JSON.parse(bytes.toString("utf8", end + 4, stop)), bytes.subarray(stop)] : [undefined, bytes];
}

TaploLsp.initialize(environment, { onMessage: send }).then((server) => {
  let waiting = Buffer.alloc(0);
  process.stdin.on("data", (bytes) => {
    waiting = Buffer.concat([waiting, bytes]);
    for (;;) {
      const [message, rest] = take(waiting);
      if (message === undefined) return;
      waiting = rest;
      if (message.method === "exit") process.exit(0);
      server.send(message);
    }
  });
  process.stdin.on("end", () => process.exit(0));
});
