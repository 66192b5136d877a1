// Node's `fs` for readers. A config may make folders (many make the one for their logs); it writes nothing else.
const { Buffer } = require('buffer');
const { argumentType, argumentValue, coded, missing } = require('pmrun:errors');

const toPath = (path) => {
  if (path && typeof path === 'object' && typeof path.href === 'string') return require('url').fileURLToPath(path);
  if (path instanceof Uint8Array) return Buffer.from(path).toString();
  if (typeof path !== 'string') throw argumentType('path', 'of type string or an instance of Buffer or URL', path);
  if (path.includes('\0')) throw argumentValue('path', 'must be a string, Uint8Array, or URL without null bytes', path);
  return path;
};
function encodingOf(options) {
  const encoding = typeof options === 'string' ? options : options && options.encoding;
  if (encoding && encoding !== 'buffer' && !Buffer.isEncoding(encoding)) throw argumentValue('encoding', 'is invalid encoding', encoding);
  return encoding;
}

// Errors name a path as the config wrote it. A folder can be opened, but not read.
function told(path, call) {
  if (path === '') path = '.pmrun-nothing-has-this-name';
  try {
    return call(path);
  } catch (error) {
    if (error && typeof error.path === 'string' && error.syscall) {
      const shown = path === '.pmrun-nothing-has-this-name' ? '' : path;
      error.message = error.message.replace(`'${error.path}'`, `'${shown}'`);
      error.path = shown;
      if (error.code === 'EISDIR' && error.syscall === 'open') {
        error.message = `${error.message.split(',')[0]}, read`;
        error.syscall = 'read';
        delete error.path;
      }
    }
    throw error;
  }
}

class Stats {
  constructor(raw, big) {
    const whole = (value) => (big ? BigInt(Math.trunc(value)) : value);
    for (const key of Object.keys(raw)) this[key] = whole(raw[key]);
    for (const name of ['atime', 'mtime', 'ctime', 'birthtime']) {
      const ms = raw[name + 'Ms'];
      Object.defineProperty(this, name, { get: () => new Date(ms), enumerable: true });
    }
  }
  is(type) { return (Number(this.mode) & 0o170000) === type; }
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
    return new Stats(told(toPath(path), (path) => host.stat(path, follow)), options && options.bigint);
  } catch (error) {
    if (options && options.throwIfNoEntry === false && error.code === 'ENOENT') return undefined;
    throw error;
  }
};

const refuse = (name) => () => {
  throw new Error(`fs.${name} is not available: a config may only read`);
};
const constants = { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1, O_RDONLY: 0, S_IFMT: 0o170000, S_IFREG: 0o100000, S_IFDIR: 0o040000, S_IFLNK: 0o120000 };

function list(folder, options, prefix) {
  const out = [];
  const typed = options && options.withFileTypes;
  const bytes = encodingOf(options) === 'buffer';
  for (const [name, kind] of told(folder, host.readdir)) {
    const shown = prefix + name;
    out.push(typed ? new Dirent(name, kind, folder) : bytes ? Buffer.from(shown) : shown);
    const below = folder + '/' + name;
    // As Node 20 does: links are followed unless types are asked for.
    const open = kind === 'dir' || (kind === 'link' && !typed && stat(below, { throwIfNoEntry: false }, true)?.isDirectory());
    if (options && options.recursive && open) out.push(...list(below, options, shown + '/'));
  }
  return out;
}

// Descriptors of ours: a file's bytes, and how far they were read.
const opened = new Map();
const descriptor = (fd, call) => {
  const file = opened.get(fd);
  if (!file) throw Object.assign(coded(new Error(`EBADF: bad file descriptor, ${call}`), 'EBADF'), { errno: -9, syscall: call });
  return file;
};

class Dir {
  constructor(path, options) {
    this.path = path;
    this.left = list(path, { ...options, withFileTypes: true }, '');
  }
  readSync() { return this.left.shift() ?? null; }
  closeSync() {}
  async read() { return this.readSync(); }
  async close() {}
  async *[Symbol.asyncIterator]() { yield* this.left; }
}

const fs = {
  constants,
  ...constants,
  Stats,
  Dirent,
  existsSync(path) {
    try {
      const named = toPath(path);
      // Only a folder has a name with a slash at its end.
      return named !== '' && host.exists(named) && (!named.endsWith('/') || fs.statSync(named).isDirectory());
    } catch {
      return false;
    }
  },
  readFileSync(path, options) {
    const encoding = encodingOf(options);
    const file = path === 0 ? '/dev/null' : typeof path === 'number' ? descriptor(path, 'read').path : toPath(path);
    if (encoding === 'utf8' || encoding === 'utf-8') return told(file, host.readText);
    const bytes = Buffer.from(told(file, host.readBinary), 'latin1');
    return encoding && encoding !== 'buffer' ? bytes.toString(encoding) : bytes;
  },
  readdirSync: (path, options) => list(toPath(path), options, ''),
  statSync: (path, options) => stat(path, options, true),
  lstatSync: (path, options) => stat(path, options, false),
  realpathSync: (path) => told(toPath(path), host.realpath),
  readlinkSync: (path) => told(toPath(path), host.readlink),
  accessSync: (path, mode) => void told(toPath(path), (path) => host.access(path, mode || 0)),
  mkdirSync: (path, options) => told(toPath(path), (path) => host.mkdir(path, Boolean(options && options.recursive))),
  opendirSync: (path, options) => new Dir(toPath(path), options),
  openSync(path, flags = 'r') {
    if (flags !== 'r' && flags !== 'rs' && flags !== constants.O_RDONLY) refuse('openSync')();
    const fd = 3 + opened.size;
    opened.set(fd, { path: toPath(path), bytes: fs.readFileSync(path), at: 0 });
    return fd;
  },
  closeSync: (fd) => void (descriptor(fd, 'close') && opened.set(fd, undefined)),
  fstatSync: (fd, options) => stat(descriptor(fd, 'fstat').path, options, true),
  readSync(fd, buffer, offset = 0, length = buffer.length, position = null) {
    if (typeof offset === 'object') ({ offset = 0, length = buffer.length - offset, position = null } = offset ?? {});
    const file = descriptor(fd, 'read');
    const from = position ?? file.at;
    const part = file.bytes.subarray(from, from + length);
    buffer.set(part, offset);
    if (position === null) file.at += part.length;
    return part.length;
  },
};
fs.realpathSync.native = fs.realpathSync;

for (const name of ['writeFile', 'appendFile', 'unlink', 'rm', 'rmdir', 'rename', 'copyFile', 'cp', 'chmod', 'chown', 'symlink', 'link', 'truncate', 'mkdtemp', 'utimes', 'write', 'writev', 'fchmod', 'ftruncate'])
  for (const whole of [name, name + 'Sync']) fs[whole] = refuse(whole);
fs.createWriteStream = refuse('createWriteStream');
for (const name of ['createReadStream', 'open', 'watch', 'watchFile'])
  fs[name] = () => {
    throw missing('fs.' + name);
  };

fs.promises = { constants };
for (const name of ['readFile', 'readdir', 'stat', 'lstat', 'realpath', 'readlink', 'access', 'mkdir', 'opendir']) {
  const sync = fs[name + 'Sync'];
  fs.promises[name] = async (...args) => sync(...args);
  fs[name] = (...args) => {
    const callback = args.pop();
    fs.promises[name](...args).then((value) => callback(null, value), (error) => callback(error));
  };
}
for (const name of ['writeFile', 'appendFile', 'unlink', 'rm', 'rmdir', 'rename', 'copyFile', 'cp', 'chmod', 'mkdtemp'])
  fs.promises[name] = async () => refuse('promises.' + name)();
for (const name of ['open', 'watch'])
  fs.promises[name] = () => {
    throw missing('fs.promises.' + name);
  };
fs.exists = (path, callback) => void Promise.resolve(fs.existsSync(path)).then(callback);
fs.exists[Symbol.for('nodejs.util.promisify.custom')] = async (path) => fs.existsSync(path);

module.exports = fs;
