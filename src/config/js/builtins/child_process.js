// Node's synchronous `child_process`: configs ask git for a revision, or the host for a name.
const { Buffer } = require('buffer');

function run(file, args, options = {}) {
  require('process');
  const env = options.env || host.variables;
  const pairs = Object.keys(env).filter((key) => env[key] !== undefined).map((key) => [key, String(env[key])]);
  const cwd = options.cwd ? String(options.cwd.pathname ?? options.cwd) : host.cwd();
  const raw = host.spawn(file, args, cwd, pairs, options.input === undefined ? '' : Buffer.from(options.input).toString('latin1'), options.timeout, options.maxBuffer);
  const encoding = options.encoding && options.encoding !== 'buffer' ? options.encoding : undefined;
  const show = (binary) => (encoding ? Buffer.from(binary, 'latin1').toString(encoding) : Buffer.from(binary, 'latin1'));
  const [stdout, stderr] = [show(raw.stdout), show(raw.stderr)];
  const result = { pid: raw.pid, output: [null, stdout, stderr], stdout, stderr, status: raw.status ?? null, signal: raw.signal ?? null };
  for (const fd of [1, 2]) {
    const given = typeof options.stdio === 'string' ? options.stdio : Array.isArray(options.stdio) ? options.stdio[fd] : undefined;
    // A number or a stream: one of our own, that all go to the same place.
    const to = [1, 2].includes(given?.fd ?? given) ? 'inherit' : given;
    if (to === 'inherit' || to === 'ignore') {
      if (to === 'inherit') host.print(String(result.output[fd]));
      result.output[fd] = result[fd === 1 ? 'stdout' : 'stderr'] = null;
    }
  }
  if (raw.code) {
    if (!raw.pid) result.output = result.stdout = result.stderr = null;
    const errno = { ENOENT: -2, EACCES: -13, ETIMEDOUT: -110, ENOBUFS: -105 }[raw.code];
    result.error = new Error(`spawnSync ${file} ${raw.code}`);
    Object.assign(result.error, { errno, code: raw.code, syscall: `spawnSync ${file}`, path: file, spawnargs: args });
  }
  return result;
}

function check(result, command, options) {
  // Unless it says otherwise, a config's user sees what its commands complain about.
  if (options?.stdio === undefined && result.stderr) host.print(String(result.stderr));
  if (result.error) throw Object.assign(result.error, result);
  if (result.status !== 0) {
    const error = new Error(`Command failed: ${command}${result.stderr?.length ? '\n' + result.stderr : ''}`);
    throw Object.assign(error, result);
  }
  return result.stdout;
}

const split = (args, options) => (Array.isArray(args) ? [args.map(String), options] : [[], args ?? options]);
const shellOf = (options) => (options && typeof options.shell === 'string' ? options.shell : '/bin/sh');

function spawnSync(file, args, options) {
  [args, options] = split(args, options);
  if (options && options.shell) [file, args] = [shellOf(options), ['-c', [file, ...args].join(' ')]];
  return run(String(file), args, options);
}

function execFileSync(file, args, options) {
  if (typeof file !== 'string') throw require('pmrun:errors').argumentType('file', 'of type string', file);
  [args, options] = split(args, options);
  return check(spawnSync(file, args, options), [file, ...args].join(' '), options);
}

const execSync = (command, options) => {
  if (typeof command !== 'string') throw require('pmrun:errors').argumentType('command', 'of type string', command);
  return check(run(shellOf(options), ['-c', command], options), command, options);
};

// The others answer later, as their callers expect, but the command has run by then.
const later = (file, args, options, shown, callback) => {
  const result = run(file, args, { encoding: 'utf8', ...options });
  const failed = result.error ?? (result.status !== 0 ? Object.assign(new Error(`Command failed: ${shown}\n${result.stderr}`), { code: result.status, killed: false, signal: result.signal, cmd: shown }) : null);
  if (callback) Promise.resolve().then(() => callback(failed, result.stdout ?? '', result.stderr ?? ''));
  return new (require('events'))();
};
function exec(command, options, callback) {
  if (typeof options === 'function') [options, callback] = [undefined, options];
  return later(shellOf(options), ['-c', String(command)], options, String(command), callback);
}
function execFile(file, args, options, callback) {
  const given = [args, options, callback];
  callback = given.find((value) => typeof value === 'function');
  [args, options] = split(Array.isArray(args) ? args : undefined, given.find((value) => value && typeof value === 'object' && !Array.isArray(value)));
  return later(String(file), args, options, [file, ...args].join(' '), callback);
}
const promised = (callee) => (...args) =>
  new Promise((resolve, reject) => callee(...args, (error, stdout, stderr) => (error ? reject(Object.assign(error, { stdout, stderr })) : resolve({ stdout, stderr }))));
for (const callee of [exec, execFile]) callee[Symbol.for('nodejs.util.promisify.custom')] = promised(callee);

const refuse = (name) => () => {
  throw require('pmrun:errors').missing(`child_process.${name}`);
};
module.exports = { execSync, execFileSync, spawnSync, exec, execFile, spawn: refuse('spawn'), fork: refuse('fork') };
