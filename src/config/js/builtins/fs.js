// Node's `fs` for readers. A config may make folders (many make the one for their logs); it writes nothing else.
const { Buffer } = require('buffer');

const toPath = (path) => {
  if (path && typeof path === 'object' && typeof path.href === 'string') return require('url').fileURLToPath(path);
  if (path instanceof Uint8Array) return Buffer.from(path).toString();
  if (typeof path !== 'string') {
    const error = new TypeError(`The "path" argument must be of type string or an instance of Buffer or URL. Received ${path === null ? 'null' : typeof path}`);
    error.code = 'ERR_INVALID_ARG_TYPE';
    throw error;
  }
  return path;
};
const encodingOf = (options) => (typeof options === 'string' ? options : options && options.encoding);

class Stats {
  constructor(raw) {
    Object.assign(this, raw);
    for (const name of ['atime', 'mtime', 'ctime', 'birthtime']) {
      const ms = raw[name + 'Ms'];
      Object.defineProperty(this, name, { get: () => new Date(ms), enumerable: true });
    }
  }
  is(type) { return (this.mode & 0o170000) === type; }
  isFile() { return this.is(0o100000); }
  isDirectory() { return this.is(0o040000); }
  isSymbolicLink() { return this.is(0o120000); }
  isFIFO() { return this.is(0o010000); }
  isSocket() { return this.is(0o140000); }
  isBlockDevice() { return this.is(0o060000); }
  isCharacterDevice() { return this.is(0o020000); }
}

class Dirent {
  constructor(name, kind, folder) {
    this.name = name;
    this.path = this.parentPath = folder;
    Object.defineProperty(this, 'kind', { value: kind });
  }
  isFile() { return this.kind === 'file'; }
  isDirectory() { return this.kind === 'dir'; }
  isSymbolicLink() { return this.kind === 'link'; }
  isFIFO() { return false; }
  isSocket() { return false; }
  isBlockDevice() { return false; }
  isCharacterDevice() { return false; }
}

const stat = (path, options, follow) => {
  try {
    return new Stats(host.stat(toPath(path), follow));
  } catch (error) {
    if (options && options.throwIfNoEntry === false && error.code === 'ENOENT') return undefined;
    throw error;
  }
};

const constants = { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1, O_RDONLY: 0, S_IFMT: 0o170000, S_IFREG: 0o100000, S_IFDIR: 0o040000, S_IFLNK: 0o120000 };

function list(folder, options, prefix) {
  const out = [];
  for (const [name, kind] of host.readdir(folder)) {
    const shown = prefix + name;
    out.push(options && options.withFileTypes ? new Dirent(name, kind, folder) : shown);
    if (options && options.recursive && kind === 'dir') out.push(...list(folder + '/' + name, options, shown + '/'));
  }
  return out;
}

const fs = {
  constants,
  ...constants,
  Stats,
  Dirent,
  existsSync(path) {
    try {
      return host.exists(toPath(path));
    } catch {
      return false;
    }
  },
  readFileSync(path, options) {
    const encoding = encodingOf(options);
    const file = path === 0 ? '/dev/null' : toPath(path);
    if (encoding === 'utf8' || encoding === 'utf-8') return host.readText(file);
    const bytes = Buffer.from(host.readBinary(file), 'latin1');
    return encoding && encoding !== 'buffer' ? bytes.toString(encoding) : bytes;
  },
  readdirSync: (path, options) => list(toPath(path), options, ''),
  statSync: (path, options) => stat(path, options, true),
  lstatSync: (path, options) => stat(path, options, false),
  realpathSync: (path) => host.realpath(toPath(path)),
  readlinkSync: (path) => host.readlink(toPath(path)),
  accessSync: (path, mode) => void host.access(toPath(path), mode || 0),
  mkdirSync: (path, options) => host.mkdir(toPath(path), Boolean(options && options.recursive)),
};
fs.realpathSync.native = fs.realpathSync;

const refuse = (name) => () => {
  throw new Error(`fs.${name} is not available: a config may only read`);
};
for (const name of ['writeFile', 'appendFile', 'unlink', 'rm', 'rmdir', 'rename', 'copyFile', 'cp', 'chmod', 'chown', 'symlink', 'link', 'truncate', 'mkdtemp', 'utimes', 'open', 'write'])
  for (const whole of [name, name + 'Sync']) fs[whole] = refuse(whole);
for (const name of ['createWriteStream', 'createReadStream', 'watch', 'watchFile']) fs[name] = refuse(name);

fs.promises = { constants };
for (const name of ['readFile', 'readdir', 'stat', 'lstat', 'realpath', 'readlink', 'access', 'mkdir']) {
  const sync = fs[name + 'Sync'];
  fs.promises[name] = async (...args) => sync(...args);
  fs[name] = (...args) => {
    const callback = args.pop();
    fs.promises[name](...args).then((value) => callback(null, value), (error) => callback(error));
  };
}
for (const name of ['writeFile', 'appendFile', 'unlink', 'rm', 'rmdir', 'rename', 'copyFile', 'cp', 'chmod', 'mkdtemp', 'open'])
  fs.promises[name] = async () => refuse('promises.' + name)();
fs.exists = (path, callback) => void Promise.resolve(fs.existsSync(path)).then(callback);

module.exports = fs;
