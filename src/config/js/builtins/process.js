// Node's `process` as a config sees it.
const facts = host.process();
const started = host.now();

// What is looked at is recorded, but for what the config has set itself. A variable that may not be seen is not among the
// target's, and asking for it by name is refused.
const own = new Set();
// Looked for by name before anything went through all of them, as readers of env files do with each name in the file: what
// was there already wins, and is as much the config's as what was not.
const tested = new Set();
let enumerated = false;
const asked = (target, key) => {
  if (typeof key === 'string' && !own.has(key) && (Object.hasOwn(target, key) || !(key in Object.prototype || key === 'toJSON' || key === 'then'))) host.variable(key);
};
const variables = host.env();
const given = { ...variables };
// Assignments become strings, as in Node: `process.env.PORT = 1` is read back as "1".
const env = new Proxy(variables, {
  get(target, key) {
    asked(target, key);
    return target[key];
  },
  has(target, key) {
    asked(target, key);
    return key in target;
  },
  getOwnPropertyDescriptor(target, key) {
    if (!enumerated) tested.add(key);
    if (Object.hasOwn(target, key)) asked(target, key);
    else if (typeof key === 'string') host.variableIsSet(key);
    return Reflect.getOwnPropertyDescriptor(target, key);
  },
  ownKeys(target) {
    enumerated = true;
    host.allVariables();
    return Reflect.ownKeys(target);
  },
  set(target, key, value) {
    own.add(key);
    target[key] = String(value);
    return true;
  },
  deleteProperty(target, key) {
    own.add(key);
    return delete target[key];
  },
});
// For commands, which inherit them without anybody's looking.
host.variables = variables;

const stream = (fd) => ({
  fd,
  writable: true,
  write(text) {
    host.print(String(text));
    return true;
  },
  end() {},
  on() { return this; },
  once() { return this; },
});

const hrtime = (before) => {
  const ns = host.now() * 1e6;
  const time = [Math.floor(ns / 1e9), Math.floor(ns % 1e9)];
  if (!before) return time;
  const [s, n] = [time[0] - before[0], time[1] - before[1]];
  return n < 0 ? [s - 1, n + 1e9] : [s, n];
};
hrtime.bigint = () => BigInt(Math.floor(host.now() * 1e6));

const process = {
  title: 'node',
  version: 'v20.20.2',
  versions: { node: '20.20.2', acorn: '8.15.0', ares: '1.34.5', modules: '115', napi: '9', openssl: '3.0.17', unicode: '17.0', uv: '1.46.0', v8: '11.3.244.8-node.38', zlib: '1.3.1' },
  release: { name: 'node', lts: 'Iron' },
  arch: facts.arch,
  platform: 'linux',
  argv: ['/usr/bin/node', facts.entry],
  argv0: 'node',
  execArgv: [],
  execPath: '/usr/bin/node',
  pid: facts.pid,
  ppid: facts.ppid,
  env,
  config: { variables: {} },
  features: { inspector: false, ipv6: true, typescript: false },
  exitCode: undefined,
  stdin: { fd: 0, on() { return this; } },
  stdout: stream(1),
  stderr: stream(2),
  cwd: () => host.cwd(),
  chdir: (folder) => host.chdir(String(folder)),
  exit(code) {
    code ??= process.exitCode;
    host.end(`process.exit(${code === undefined ? '' : Number(code)})`);
  },
  reallyExit: (code) => process.exit(code),
  abort() {
    host.end('process.abort()');
  },
  get report() { return require('pmrun:errors').absent('process.report', 'getReport writeReport'); },
  nextTick: (callback, ...args) => void Promise.resolve().then(() => callback(...args)),
  hrtime,
  uptime: () => (host.now() - started) / 1000,
  memoryUsage: () => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 }),
  cpuUsage: () => ({ user: 0, system: 0 }),
  resourceUsage: () => ({ userCPUTime: 0, systemCPUTime: 0, maxRSS: 0 }),
  availableMemory: () => require('os').freemem(),
  constrainedMemory: () => require('os').totalmem(),
  getgroups: () => [facts.gid],
  getActiveResourcesInfo: () => [],
  umask: () => 0o022,
  getuid: () => facts.uid,
  geteuid: () => facts.uid,
  getgid: () => facts.gid,
  getegid: () => facts.gid,
  emitWarning: (warning) => host.print(`(node) Warning: ${warning && warning.message ? warning.message : warning}\n`),
  loadEnvFile: (path = '.env') => {
    const parsed = host.dotenv(require('fs').readFileSync(path, 'utf8'));
    for (const key of Object.keys(parsed)) if (!Object.hasOwn(env, key)) env[key] = parsed[key];
  },
  getBuiltinModule: (name) => (host.isBuiltin(name) ? require(name.replace(/^node:/, '')) : undefined),
  kill(pid, signal = 'SIGTERM') {
    // Signal 0 only asks whether there is such a process.
    if (Number(pid) === facts.pid && signal === 0) return true;
    if ([0, facts.pid, -facts.pid].includes(Number(pid))) host.end(`process.kill(process.pid, ${JSON.stringify(signal)})`);
    throw new Error('process.kill is not available: a config may only read');
  },
};
// Names and values of what the config has put into `process.env`, one after the other. Where it put what was there already,
// or found it there, too: whether the shell that runs us has it must make no difference to what is declared.
host.assigned = () => {
  const now = process.env === env ? variables : process.env;
  if (now === null || typeof now !== 'object') return [];
  const texts = ['string', 'number', 'boolean'];
  const set = (key, value) => own.has(key) || tested.has(key) || given[key] !== String(value);
  return Object.entries(now).filter(([key, value]) => texts.includes(typeof value) && set(key, value)).flat();
};
// Nothing ever happens to it: what listens hears nothing.
Object.setPrototypeOf(process, require('events').prototype);
Object.defineProperty(process, 'mainModule', { get: () => host.main?.(), enumerable: true, configurable: true });
process.memoryUsage.rss = () => 0;
Object.defineProperty(process, Symbol.toStringTag, { value: 'process' });
module.exports = process;
