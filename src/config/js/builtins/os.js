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
  networkInterfaces: () => ({}),
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
  constants: { signals: { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGKILL: 9, SIGUSR1: 10, SIGUSR2: 12, SIGTERM: 15 } },
};
