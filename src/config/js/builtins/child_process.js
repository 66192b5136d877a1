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
  if (raw.code) {
    result.error = new Error(`spawnSync ${file} ${raw.code}`);
    Object.assign(result.error, { code: raw.code, syscall: `spawnSync ${file}`, path: file, spawnargs: args });
  }
  return result;
}

const stdioOf = (options, fd) => (typeof options?.stdio === 'string' ? options.stdio : Array.isArray(options?.stdio) ? options.stdio[fd] : undefined);

function check(result, command, options) {
  if (stdioOf(options, 1) === 'inherit') host.print(String(result.stdout));
  const errors = stdioOf(options, 2);
  if (errors === undefined || errors === 'inherit') host.print(String(result.stderr));
  if (result.error) throw Object.assign(result.error, { ...result, error: result.error });
  if (result.status !== 0) {
    const error = new Error(`Command failed: ${command}${result.stderr.length ? '\n' + result.stderr : ''}`);
    throw Object.assign(error, result);
  }
  return stdioOf(options, 1) === 'inherit' || stdioOf(options, 1) === 'ignore' ? null : result.stdout;
}

const split = (args, options) => (Array.isArray(args) ? [args.map(String), options] : [[], args ?? options]);
const shellOf = (options) => (options && typeof options.shell === 'string' ? options.shell : '/bin/sh');

function spawnSync(file, args, options) {
  [args, options] = split(args, options);
  if (options && options.shell) [file, args] = [shellOf(options), ['-c', [file, ...args].join(' ')]];
  return run(String(file), args, options);
}

function execFileSync(file, args, options) {
  [args, options] = split(args, options);
  return check(spawnSync(file, args, options), [file, ...args].join(' '), options);
}

const execSync = (command, options) => check(run(shellOf(options), ['-c', String(command)], options), command, options);

function exec(command, options, callback) {
  if (typeof options === 'function') [options, callback] = [undefined, options];
  const result = run(shellOf(options), ['-c', String(command)], { encoding: 'utf8', ...options });
  const failed = result.error || (result.status !== 0 ? Object.assign(new Error(`Command failed: ${command}\n${result.stderr}`), { code: result.status }) : null);
  if (callback) Promise.resolve().then(() => callback(failed, result.stdout, result.stderr));
}
exec[Symbol.for('nodejs.util.promisify.custom')] = (command, options) =>
  new Promise((resolve, reject) => exec(command, options, (error, stdout, stderr) => (error ? reject(error) : resolve({ stdout, stderr }))));

const refuse = (name) => () => {
  throw new Error(`child_process.${name} is not available to a config: use execSync, execFileSync or spawnSync`);
};
module.exports = { execSync, execFileSync, spawnSync, exec, spawn: refuse('spawn'), fork: refuse('fork'), execFile: refuse('execFile') };
