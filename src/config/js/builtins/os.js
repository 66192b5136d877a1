// Node's `os`, from facts that the host was asked for once.
const facts = host.facts();
const given = (name) => {
  const { env } = require('process');
  return Object.hasOwn(env, name) ? env[name] : undefined;
};
const cpu = () => ({ model: facts.cpuModel, speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } });
module.exports = {
  EOL: '\n',
  devNull: '/dev/null',
  arch: () => facts.arch,
  availableParallelism: () => facts.cpusAllowed,
  cpus: () => Array.from({ length: facts.cpusOnline }, cpu),
  endianness: () => 'LE',
  freemem: () => facts.freeMemory,
  homedir: () => given('HOME') || facts.home,
  hostname: () => facts.hostname,
  loadavg: () => facts.load.split(' ').map(Number),
  machine: () => facts.machine,
  networkInterfaces() {
    throw require('pmrun:errors').missing('os.networkInterfaces');
  },
  platform: () => 'linux',
  release: () => facts.release,
  tmpdir: () => {
    const folder = given('TMPDIR') || given('TMP') || given('TEMP') || '/tmp';
    return folder.length > 1 && folder.endsWith('/') ? folder.slice(0, -1) : folder;
  },
  totalmem: () => facts.totalMemory,
  type: () => 'Linux',
  uptime: () => facts.uptime,
  userInfo: () => ({ uid: facts.uid, gid: facts.gid, username: facts.user, homedir: facts.home, shell: facts.shell || null }),
  version: () => facts.version,
  getPriority: () => 0,
  constants: {
    errno: { EACCES: 13, EEXIST: 17, EISDIR: 21, ENOENT: 2, ENOTDIR: 20, EPERM: 1 },
    priority: { PRIORITY_LOW: 19, PRIORITY_BELOW_NORMAL: 10, PRIORITY_NORMAL: 0, PRIORITY_ABOVE_NORMAL: -7, PRIORITY_HIGH: -14, PRIORITY_HIGHEST: -20 },
    signals: { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGUSR1: 10, SIGSEGV: 11, SIGUSR2: 12, SIGPIPE: 13, SIGALRM: 14, SIGTERM: 15, SIGCHLD: 17, SIGCONT: 18, SIGSTOP: 19 },
  },
};
// `${os.hostname}` is as good as a call.
for (const name of ['arch', 'availableParallelism', 'endianness', 'freemem', 'homedir', 'hostname', 'platform', 'release', 'tmpdir', 'totalmem', 'type', 'uptime', 'version', 'machine'])
  module.exports[name][Symbol.toPrimitive] = () => module.exports[name]();
