// All of Node's `path`, both kinds: POSIX, and `win32` for those who join Windows paths by hand. What configs call most is
// done by `paths.rs`, in the same way; this is read when something else is called, or to complain.
const { argumentType } = require('pmrun:errors');

const check = (value, name) => {
  if (typeof value !== 'string') throw argumentType(name, 'of type string', value);
};

// `locate` tells a path's device (`C:`, `\\server\share`), whether it is absolute, and how long both are together.
function make(sep, delimiter, isSep, locate, same, cwd) {
  const collapse = (text, absolute) => {
    const out = [];
    let part = '';
    const close = () => {
      if (part === '..') {
        if (out.length && out[out.length - 1] !== '..') out.pop();
        else if (!absolute) out.push('..');
      } else if (part !== '' && part !== '.') out.push(part);
      part = '';
    };
    for (const c of text) {
      if (isSep(c)) close();
      else part += c;
    }
    close();
    return out.join(sep);
  };
  const endsWithSep = (text) => text !== '' && isSep(text[text.length - 1]);
  // Where the last part starts and ends, after `from`.
  const last = (text, from) => {
    let end = text.length;
    while (end > from && isSep(text[end - 1])) end--;
    let start = end;
    while (start > from && !isSep(text[start - 1])) start--;
    return [start, end];
  };
  const extension = (base) => {
    const dot = base.lastIndexOf('.');
    return dot <= 0 || base === '..' ? '' : base.slice(dot);
  };
  const drive = (text) => (sep === '\\' && /^[A-Za-z]:/.test(text) ? 2 : 0);

  const path = {
    sep,
    delimiter,
    isAbsolute(text) {
      check(text, 'path');
      return isSep(text[drive(text)] ?? '');
    },
    normalize(text) {
      check(text, 'path');
      if (text === '') return '.';
      const { device, absolute, length } = locate(text);
      let rest = collapse(text.slice(length), absolute);
      if (rest === '' && !absolute) rest = '.';
      if (rest !== '' && (rest !== '.' || text.length > length) && endsWithSep(text.slice(length))) rest += sep;
      return device + (absolute ? sep : '') + rest;
    },
    join(...parts) {
      for (const part of parts) check(part, 'path');
      const filled = parts.filter((part) => part !== '');
      if (!filled.length) return '.';
      let text = filled.join(sep);
      // Only a first part that names a server may make the whole name one.
      if (sep === '\\' && !/^[\\/]{2}[^\\/]/.test(filled[0])) text = text.replace(/^[\\/]{2,}/, '\\');
      return path.normalize(text);
    },
    resolve(...parts) {
      let device = '';
      let tail = '';
      let absolute = false;
      for (let i = parts.length - 1; i >= -1 && !(absolute && (device || sep === '/')); i--) {
        let part = i >= 0 ? parts[i] : cwd();
        if (i >= 0) check(part, `paths[${i}]`);
        else if (device && !same(part.slice(0, 2), device) && part[2] === '\\') part = device + '\\';
        if (part === '') continue;
        const found = locate(part);
        if (found.device) {
          if (device && !same(found.device, device)) continue;
          device = found.device;
        }
        if (!absolute) {
          tail = part.slice(found.length) + sep + tail;
          absolute = found.absolute;
        }
      }
      return device + (absolute ? sep : '') + collapse(tail, absolute) || '.';
    },
    dirname(text) {
      check(text, 'path');
      if (text === '') return '.';
      const { length } = locate(text);
      let named = false;
      for (let i = text.length - 1; i >= length; i--) {
        if (!isSep(text[i])) named = true;
        else if (named) return sep === '/' && length && i === 1 ? '//' : text.slice(0, i);
      }
      return length ? text.slice(0, length) : '.';
    },
    basename(text, suffix) {
      if (suffix !== undefined) check(suffix, 'suffix');
      check(text, 'path');
      if (suffix === text) return '';
      const [start, end] = last(text, drive(text));
      const base = text.slice(start, end);
      return suffix && base !== suffix && base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
    },
    extname: (text) => extension(path.basename(text)),
    relative(from, to) {
      check(from, 'from');
      check(to, 'to');
      const [a, b] = [path.resolve(from), path.resolve(to)];
      if (same(a, b)) return '';
      const [left, right] = [a.split(sep).filter(Boolean), b.split(sep).filter(Boolean)];
      let count = 0;
      while (count < left.length && count < right.length && same(left[count], right[count])) count++;
      if (count === 0 && sep === '\\') return b;
      return [...left.slice(count).map(() => '..'), ...right.slice(count)].join(sep);
    },
    parse(text) {
      check(text, 'path');
      const { length } = locate(text);
      const root = text.slice(0, length);
      const [start, end] = last(text, length);
      const base = text.slice(start, end);
      const ext = extension(base);
      return { root, dir: start > length ? text.slice(0, start - 1) : root, base, ext, name: ext ? base.slice(0, -ext.length) : base };
    },
    format(parts) {
      if (parts === null || typeof parts !== 'object') throw argumentType('pathObject', 'of type object', parts);
      const dir = parts.dir || parts.root;
      const ext = parts.ext ? (parts.ext[0] === '.' ? parts.ext : '.' + parts.ext) : '';
      const base = parts.base || (parts.name || '') + ext;
      if (!dir) return base;
      return dir === parts.root ? dir + base : dir + sep + base;
    },
    toNamespacedPath(text) {
      if (sep === '/' || typeof text !== 'string' || text === '') return text;
      const whole = path.resolve(text);
      if (/^[A-Za-z]:\\/.test(whole)) return '\\\\?\\' + whole;
      return /^\\\\[^.?\\]/.test(whole) ? '\\\\?\\UNC\\' + whole.slice(2) : whole;
    },
  };
  return path;
}

const slash = (c) => c === '/';
const either = (c) => c === '/' || c === '\\';
function onWindows(text) {
  const server = /^[\\/]{2}([^\\/]+)[\\/]+([^\\/]+)[\\/]?/.exec(text);
  if (server) return { device: `\\\\${server[1]}\\${server[2]}`, absolute: true, length: server[0].length };
  const [whole, device, root] = /^([A-Za-z]:)?([\\/]?)/.exec(text);
  return { device: device ?? '', absolute: root !== '', length: whole.length };
}
const posix = make('/', ':', slash, (text) => ({ device: '', absolute: slash(text[0]), length: slash(text[0]) ? 1 : 0 }), (a, b) => a === b, () => host.cwd());
const win32 = make('\\', ';', either, onWindows, (a, b) => a.toLowerCase() === b.toLowerCase(), () => host.cwd());
module.exports = { posix, win32 };
