// Node's `url`, and URL for the schemes that configs hold: http, https, ws, file, postgres, redis and their kind.
const SPECIAL = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' };
const PATTERN = /^([A-Za-z][A-Za-z0-9+.-]*:)(?:\/\/(?:([^:@/?#]*)(?::([^@/?#]*))?@)?(\[[^\]]*\]|[^:/?#]*)(?::(\d*))?)?([^?#]*)(\?[^#]*)?(#.*)?$/s;

const escape = (text, keep) => encodeURI(text).replace(/%25([0-9A-Fa-f]{2})/g, '%$1').replace(/%5B/g, '[').replace(/%5D/g, ']').replace(keep, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());

function collapse(path) {
  const out = [];
  const parts = path.split('/');
  parts.forEach((part, i) => {
    const last = i === parts.length - 1;
    if (part === '..') {
      if (out.length > 1) out.pop();
      if (last) out.push('');
    } else if (part === '.') {
      if (last) out.push('');
    } else out.push(part);
  });
  return out.join('/');
}

class URLSearchParams {
  constructor(init = '') {
    this.list = [];
    const decode = (text) => {
      try {
        return decodeURIComponent(text.replace(/\+/g, ' '));
      } catch {
        return text;
      }
    };
    if (typeof init === 'string') {
      for (const pair of init.replace(/^\?/, '').split('&')) {
        if (pair === '') continue;
        const at = pair.indexOf('=');
        this.list.push(at < 0 ? [decode(pair), ''] : [decode(pair.slice(0, at)), decode(pair.slice(at + 1))]);
      }
    } else if (init) {
      for (const [key, value] of typeof init[Symbol.iterator] === 'function' ? init : Object.entries(init)) this.list.push([String(key), String(value)]);
    }
    Object.defineProperty(this, 'list', { enumerable: false });
    Object.defineProperty(this, 'changed', { enumerable: false, writable: true, value: () => {} });
  }
  get size() { return this.list.length; }
  get(key) { return this.list.find((pair) => pair[0] === String(key))?.[1] ?? null; }
  getAll(key) { return this.list.filter((pair) => pair[0] === String(key)).map((pair) => pair[1]); }
  has(key) { return this.list.some((pair) => pair[0] === String(key)); }
  append(key, value) {
    this.list.push([String(key), String(value)]);
    this.changed();
  }
  set(key, value) {
    const first = this.list.find((pair) => pair[0] === String(key));
    if (!first) return this.append(key, value);
    first[1] = String(value);
    this.keep((pair) => pair === first || pair[0] !== String(key));
  }
  delete(key) { this.keep((pair) => pair[0] !== String(key)); }
  sort() {
    this.list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.changed();
  }
  keep(wanted) {
    this.list.splice(0, this.list.length, ...this.list.filter(wanted));
    this.changed();
  }
  forEach(callback) { this.list.forEach(([key, value]) => callback(value, key, this)); }
  keys() { return this.list.map((pair) => pair[0]).values(); }
  values() { return this.list.map((pair) => pair[1]).values(); }
  entries() { return this.list.map((pair) => [...pair]).values(); }
  [Symbol.iterator]() { return this.entries(); }
  toString() {
    const encode = (text) => encodeURIComponent(text).replace(/%20/g, '+').replace(/[!'()~]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
    return this.list.map(([key, value]) => `${encode(key)}=${encode(value)}`).join('&');
  }
}

const invalid = (text) => {
  const error = new TypeError('Invalid URL');
  error.code = 'ERR_INVALID_URL';
  error.input = text;
  return error;
};

class URL {
  constructor(text, base) {
    text = String(text).trim();
    let match = PATTERN.exec(text);
    if (!match) {
      if (base === undefined) throw invalid(text);
      const from = new URL(base);
      const [, path, search, hash] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(text);
      const root = from.protocol + (from.slashes ? '//' + from.authority() : '');
      if (text.startsWith('//')) text = from.protocol + text;
      else if (path.startsWith('/')) text = root + text;
      else if (path === '') text = root + from.pathname + (search ?? from.search) + (hash ?? '');
      else text = root + from.pathname.slice(0, from.pathname.lastIndexOf('/') + 1) + text;
      match = PATTERN.exec(text);
      if (!match) throw invalid(text);
    }
    const [, protocol, username = '', password = '', hostname, port = '', pathname, search = '', hash = ''] = match;
    this.protocol = protocol.toLowerCase();
    const special = Object.hasOwn(SPECIAL, this.protocol);
    if (special && !hostname && this.protocol !== 'file:') throw invalid(text);
    if (Number(port) > 65535) throw invalid(text);
    this.slashes = hostname !== undefined;
    this.username = username;
    this.password = password;
    this.hostname = special ? (hostname ?? '').toLowerCase() : (hostname ?? '');
    this.port = port === SPECIAL[this.protocol] ? '' : port;
    const path = special && pathname === '' ? '/' : pathname;
    this.pathname = escape(this.slashes ? collapse(path) : path, /["<>`{}]/g);
    this.hash = hash === '#' ? '' : escape(hash, /["<>`]/g);
    this.searchParams = new URLSearchParams(search);
    this.query = search === '?' ? '' : escape(search, /["<>']/g);
    this.searchParams.changed = () => {
      const query = this.searchParams.toString();
      this.query = query && '?' + query;
    };
    for (const name of ['slashes', 'query']) Object.defineProperty(this, name, { enumerable: false });
  }
  static canParse(text, base) {
    try {
      return Boolean(new URL(text, base));
    } catch {
      return false;
    }
  }
  static parse(text, base) { return URL.canParse(text, base) ? new URL(text, base) : null; }
  authority() {
    const user = this.username + (this.password && ':' + this.password);
    return (user && user + '@') + this.host;
  }
  get search() { return this.query; }
  set search(text) {
    text = String(text);
    this.query = text === '' || text === '?' ? '' : text.startsWith('?') ? text : '?' + text;
    this.searchParams.list.splice(0, Infinity, ...new URLSearchParams(this.query).list);
  }
  get host() { return this.hostname + (this.port && ':' + this.port); }
  set host(text) { [, this.hostname, this.port = ''] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?/.exec(String(text)); }
  get origin() { return Object.hasOwn(SPECIAL, this.protocol) && this.protocol !== 'file:' ? `${this.protocol}//${this.host}` : 'null'; }
  get href() { return this.protocol + (this.slashes ? '//' + this.authority() : '') + this.pathname + this.search + this.hash; }
  toString() { return this.href; }
  toJSON() { return this.href; }
}

function fileURLToPath(value) {
  const url = typeof value === 'string' ? new URL(value) : value;
  if (url.protocol !== 'file:') {
    const error = new TypeError('The URL must be of scheme file');
    error.code = 'ERR_INVALID_URL_SCHEME';
    throw error;
  }
  return decodeURIComponent(url.pathname);
}

function pathToFileURL(path) {
  const whole = require('path').resolve(path) + (path.length > 1 && path.endsWith('/') ? '/' : '');
  return new URL('file://' + whole.replace(/[%\\\n\r\t?#]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')));
}

function parse(text, parseQuery) {
  const match = PATTERN.exec(text) || [, null, undefined, undefined, undefined, undefined, ...(/^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(text) || []).slice(1)];
  const [, protocol, user, password, hostname, port, pathname, search, hash] = match;
  const query = search ? search.slice(1) : null;
  return {
    protocol: protocol ?? null,
    slashes: hostname !== undefined || null,
    auth: user === undefined ? null : decodeURIComponent(password === undefined ? user : `${user}:${password}`),
    host: hostname === undefined ? null : hostname + (port ? ':' + port : ''),
    port: port ?? null,
    hostname: hostname ?? null,
    hash: hash ?? null,
    search: search ?? null,
    query: parseQuery ? Object.fromEntries(new URLSearchParams(query ?? '')) : query,
    pathname: pathname || null,
    path: (pathname || '') + (search || '') || null,
    href: text,
  };
}

module.exports = { URL, URLSearchParams, fileURLToPath, pathToFileURL, parse, format: (value) => (typeof value === 'string' ? value : (value.href ?? String(value))) };
