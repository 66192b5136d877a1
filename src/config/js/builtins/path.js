// Node's `path`. POSIX in full; `win32` for those who join Windows paths by hand.
const check = (value, name) => {
  if (typeof value !== 'string')
    throw new TypeError(`The "${name}" argument must be of type string. Received ${value === null ? 'null' : typeof value}`);
};

function make(sep, delimiter, isSep, root, cwd) {
  const split = (text) => {
    const parts = [];
    let part = '';
    for (const c of text) {
      if (isSep(c)) {
        parts.push(part);
        part = '';
      } else part += c;
    }
    parts.push(part);
    return parts;
  };
  const collapse = (text, absolute) => {
    const out = [];
    for (const part of split(text)) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        if (out.length && out[out.length - 1] !== '..') out.pop();
        else if (!absolute) out.push('..');
      } else out.push(part);
    }
    return out.join(sep);
  };
  const endsWithSep = (text) => text !== '' && isSep(text[text.length - 1]);
  const trim = (text, least) => {
    let end = text.length;
    while (end > least && isSep(text[end - 1])) end--;
    return text.slice(0, end);
  };

  const path = {
    sep,
    delimiter,
    isAbsolute(text) {
      check(text, 'path');
      return isSep(root(text).slice(-1));
    },
    normalize(text) {
      check(text, 'path');
      if (text === '') return '.';
      const start = root(text);
      const absolute = isSep(start.slice(-1));
      let rest = collapse(text.slice(start.length), absolute);
      if (rest === '' && !absolute) rest = '.';
      if (rest !== '' && endsWithSep(text.slice(start.length))) rest += sep;
      return split(start).join(sep) + rest;
    },
    join(...parts) {
      for (const part of parts) check(part, 'path');
      const text = parts.filter((part) => part !== '').join(sep);
      return text === '' ? '.' : path.normalize(text);
    },
    resolve(...parts) {
      let text = '';
      for (let i = parts.length - 1; i >= -1; i--) {
        const part = i >= 0 ? parts[i] : cwd();
        if (i >= 0) check(part, `paths[${i}]`);
        if (part === '') continue;
        text = text === '' ? part : part + sep + text;
        if (path.isAbsolute(part)) break;
      }
      const start = root(text);
      const absolute = isSep(start.slice(-1));
      return split(start).join(sep) + collapse(text.slice(start.length), absolute) || '.';
    },
    dirname(text) {
      check(text, 'path');
      if (text === '') return '.';
      const start = root(text);
      const body = trim(text, start.length);
      let end = body.length;
      while (end > start.length && !isSep(body[end - 1])) end--;
      while (end > start.length && isSep(body[end - 1])) end--;
      return body.slice(0, end) || '.';
    },
    basename(text, suffix) {
      check(text, 'path');
      if (suffix !== undefined) check(suffix, 'suffix');
      const start = root(text);
      const base = split(trim(text, start.length).slice(start.length)).pop();
      return suffix && base !== suffix && base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
    },
    extname(text) {
      const base = path.basename(text);
      const dot = base.lastIndexOf('.');
      return dot <= 0 || base === '..' ? '' : base.slice(dot);
    },
    relative(from, to) {
      check(from, 'from');
      check(to, 'to');
      const a = path.resolve(from);
      const b = path.resolve(to);
      if (a === b) return '';
      const left = split(a).filter(Boolean);
      const right = split(b).filter(Boolean);
      let same = 0;
      while (same < left.length && same < right.length && left[same] === right[same]) same++;
      return [...left.slice(same).map(() => '..'), ...right.slice(same)].join(sep);
    },
    parse(text) {
      check(text, 'path');
      const start = root(text);
      const base = path.basename(text);
      const ext = path.extname(base);
      const dir = trim(text, start.length) === start ? start : path.dirname(text);
      return { root: start, dir: dir === '.' && !/^\.[\\/]/.test(text) ? '' : dir, base, ext, name: ext ? base.slice(0, -ext.length) : base };
    },
    format(parts) {
      const dir = parts.dir || parts.root;
      const ext = parts.ext ? (parts.ext[0] === '.' ? parts.ext : '.' + parts.ext) : '';
      const base = parts.base || (parts.name || '') + ext;
      if (!dir) return base;
      return dir === parts.root ? dir + base : dir + sep + base;
    },
    toNamespacedPath: (text) => text,
  };
  return path;
}

const slash = (c) => c === '/';
const either = (c) => c === '/' || c === '\\';
const posix = make('/', ':', slash, (text) => (slash(text[0]) ? '/' : ''), () => host.cwd());
const win32 = make('\\', ';', either, (text) => /^(?:[A-Za-z]:)?[\\/]?/.exec(text)[0], () => host.cwd());
posix.posix = win32.posix = posix;
posix.win32 = win32.win32 = win32;
module.exports = posix;
