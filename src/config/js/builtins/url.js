// Node's `url`: URL as the WHATWG's standard reads it (of hosts only ASCII ones), and the older functions.
const { argumentType, coded, missing } = require('pmrun:errors');

const SPECIAL = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' };
const isSpecial = (record) => Object.hasOwn(SPECIAL, record.protocol);

const FRAGMENT = / |"|<|>|`/;
const QUERY = / |"|#|<|>/;
const SPECIAL_QUERY = / |"|#|<|>|'/;
const PATH = / |"|#|<|>|\?|`|\{|\}|\^/;
const USER = / |"|#|<|>|\?|`|\{|\}|\^|\/|:|;|=|@|\[|\\|\]|\|/;
const NEVER = /[^\s\S]/;

function encode(text, set) {
  let out = '';
  for (const c of text) {
    const code = c.codePointAt(0);
    if (code > 0x7e) out += encodeURIComponent(code >= 0xd800 && code <= 0xdfff ? '\ufffd' : c);
    else if (code < 0x20 || set.test(c)) out += '%' + code.toString(16).toUpperCase().padStart(2, '0');
    else out += c;
  }
  return out;
}

const invalid = (text, base) => {
  const error = coded(new TypeError('Invalid URL'), 'ERR_INVALID_URL');
  error.input = text;
  if (base !== undefined) error.base = base;
  return error;
};

function ipv4(host) {
  const labels = host.replace(/\.$/, '').split('.');
  if (!/^(?:\d+|0x[0-9a-f]*)$/.test(labels[labels.length - 1])) return host;
  const numbers = labels.map((label) => (/^(?:0[0-7]*|[1-9]\d*|0x[0-9a-f]*)$/.test(label) ? (label === '0x' ? 0 : Number(/^0\d/.test(label) ? '0o' + label.slice(1) : label)) : NaN));
  const final = numbers.pop();
  if (labels.length > 4 || !(final < 256 ** (4 - numbers.length)) || numbers.some((number) => !(number < 256))) return undefined;
  const rest = Array.from({ length: 4 - numbers.length }, (_, i) => Math.floor(final / 256 ** (3 - numbers.length - i)) % 256);
  return [...numbers, ...rest].join('.');
}

// The host as it is kept; undefined when there can be none of the name.
function hostOf(text, special) {
  if (text.startsWith('[')) return /^\[[0-9A-Fa-f:.]+\]$/.test(text) ? text.toLowerCase() : undefined;
  if (!special) return /[\0\t\n\r #/<>?@[\\\]^|]/.test(text) ? undefined : encode(text, NEVER);
  let host = text;
  try {
    host = decodeURIComponent(text);
  } catch {}
  if (/[^\0-\x7f]/.test(host)) throw missing('a host name beyond ASCII');
  if (/[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/.test(host)) return undefined;
  return ipv4(host.toLowerCase());
}

function segments(text, special, from) {
  const out = [...from];
  const parts = text.split(special ? /[\\/]/ : '/');
  parts.forEach((part, i) => {
    const end = i === parts.length - 1;
    if (/^(?:\.|%2e)(?:\.|%2e)$/i.test(part)) {
      out.pop();
      if (end) out.push('');
    } else if (/^(?:\.|%2e)$/i.test(part)) {
      if (end) out.push('');
    } else out.push(encode(part, PATH));
  });
  return out;
}

function setHost(record, text) {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/s.exec(text);
  if (!match || (isSpecial(record) && match[1] === '' && record.protocol !== 'file:')) return false;
  const host = hostOf(match[1], isSpecial(record));
  if (host === undefined || Number(match[2]) > 65535) return false;
  record.hostname = record.protocol === 'file:' && host === 'localhost' ? '' : host;
  if (match[2] !== undefined) setPort(record, match[2]);
  return true;
}
function setPort(record, digits) {
  const port = digits === '' ? '' : String(Number(digits));
  record.port = port === SPECIAL[record.protocol] ? '' : port;
}
const setQuery = (record, text) => (record.query = encode(text, isSpecial(record) ? SPECIAL_QUERY : QUERY));

function read(input, base) {
  let text = input.replace(/^[\0-\x20]+|[\0-\x20]+$/g, '').replace(/[\t\n\r]/g, '');
  const record = { protocol: '', username: '', password: '', hostname: null, port: '', path: [], query: null, hash: null };
  const hash = text.indexOf('#');
  if (hash >= 0) [text, record.hash] = [text.slice(0, hash), encode(text.slice(hash + 1), FRAGMENT)];
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:/.exec(text);
  let rest = text;
  if (scheme) {
    record.protocol = scheme[0].toLowerCase();
    rest = text.slice(scheme[0].length);
  }
  const special = isSpecial(scheme ? record : (base ?? record));
  const ask = rest.indexOf('?');
  const query = ask < 0 ? null : rest.slice(ask + 1);
  if (ask >= 0) rest = rest.slice(0, ask);
  const slash = (at) => rest[at] === '/' || (special && rest[at] === '\\');

  const relative = scheme ? special && base?.protocol === record.protocol && !(slash(0) && slash(1)) : true;
  if (relative && base) {
    if (typeof base.path === 'string') {
      if (scheme || rest !== '' || query !== null || record.hash === null) return undefined;
      return { ...base, hash: record.hash };
    }
    record.protocol = base.protocol;
    if (!(slash(0) && slash(1))) {
      Object.assign(record, { username: base.username, password: base.password, hostname: base.hostname, port: base.port });
      if (slash(0)) record.path = segments(rest.slice(1), special, []);
      else if (rest === '') [record.path, record.query] = [base.path, base.query];
      else record.path = segments(rest, special, base.path.slice(0, -1));
      if (query !== null) setQuery(record, query);
      return record;
    }
  } else if (!scheme) return undefined;

  if (record.protocol === 'file:' ? slash(0) && slash(1) : special || (slash(0) && slash(1))) {
    if (record.protocol === 'file:' || !special) rest = rest.slice(2);
    else while (slash(0)) rest = rest.slice(1);
    const end = rest.search(special ? /[\\/]/ : /\//);
    let authority = end < 0 ? rest : rest.slice(0, end);
    rest = end < 0 ? '' : rest.slice(end);
    const at = authority.lastIndexOf('@');
    if (at >= 0) {
      const [user, ...secret] = authority.slice(0, at).split(':');
      [record.username, record.password] = [encode(user, USER), encode(secret.join(':'), USER)];
      authority = authority.slice(at + 1);
      if (authority === '') return undefined;
    }
    if (!setHost(record, authority)) return undefined;
    if (rest !== '' || special) record.path = segments(rest.slice(1), special, []);
  } else if (special || slash(0)) {
    if (special) record.hostname = '';
    record.path = segments(slash(0) ? rest.slice(1) : rest, special, []);
  } else record.path = encode(rest, NEVER);
  if (query !== null) setQuery(record, query);
  return record;
}

class URLSearchParams {
  #list = [];
  #changed = () => {};
  constructor(init = '', changed) {
    if (changed) this.#changed = changed;
    if (init !== null && typeof init === 'object') {
      for (const [key, value] of typeof init[Symbol.iterator] === 'function' ? init : Object.entries(init)) this.#list.push([String(key), String(value)]);
    } else this.#list = URLSearchParams.pairs(String(init));
  }
  static pairs(text) {
    const decode = (part) => require('buffer').Buffer.from(part.replace(/\+/g, ' ').replace(/(?:%[0-9A-Fa-f]{2})+|[^%]+|%/g, (run) => (/^%./.test(run) ? run.replace(/%(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))) : require('buffer').Buffer.from(run).toString('latin1'))), 'latin1').toString();
    return text.replace(/^\?/, '').split('&').filter((pair) => pair !== '').map((pair) => {
      const at = pair.indexOf('=');
      return at < 0 ? [decode(pair), ''] : [decode(pair.slice(0, at)), decode(pair.slice(at + 1))];
    });
  }
  get size() { return this.#list.length; }
  get(key) { return this.#list.find((pair) => pair[0] === String(key))?.[1] ?? null; }
  getAll(key) { return this.#list.filter((pair) => pair[0] === String(key)).map((pair) => pair[1]); }
  has(key, value) { return this.#list.some((pair) => pair[0] === String(key) && (value === undefined || pair[1] === String(value))); }
  append(key, value) {
    this.#list.push([String(key), String(value)]);
    this.#changed();
  }
  set(key, value) {
    const first = this.#list.find((pair) => pair[0] === String(key));
    if (!first) return this.append(key, value);
    first[1] = String(value);
    this.#keep((pair) => pair === first || pair[0] !== String(key));
  }
  delete(key, value) { this.#keep((pair) => pair[0] !== String(key) || (value !== undefined && pair[1] !== String(value))); }
  sort() {
    this.#list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.#changed();
  }
  #keep(wanted) {
    this.#list = this.#list.filter(wanted);
    this.#changed();
  }
  // What the address now says.
  reread(text) { this.#list = URLSearchParams.pairs(text); }
  forEach(callback, self) { this.#list.forEach(([key, value]) => callback.call(self, value, key, this)); }
  keys() { return this.#list.map((pair) => pair[0]).values(); }
  values() { return this.#list.map((pair) => pair[1]).values(); }
  entries() { return this.#list.map((pair) => [...pair]).values(); }
  [Symbol.iterator]() { return this.entries(); }
  toString() {
    const word = (text) => encodeURIComponent(text.toWellFormed()).replace(/%20/g, '+').replace(/[!'()~]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
    return this.#list.map(([key, value]) => `${word(key)}=${word(value)}`).join('&');
  }
}
Object.defineProperty(URLSearchParams.prototype, Symbol.toStringTag, { value: 'URLSearchParams' });

class URL {
  #record;
  #params;
  constructor(text, base) {
    if (arguments.length === 0) throw coded(new TypeError('The "url" argument must be specified'), 'ERR_MISSING_ARGS');
    this.#set(`${text}`, base === undefined ? undefined : `${base}`);
  }
  #set(text, base) {
    const from = base === undefined ? undefined : read(base);
    const record = base !== undefined && !from ? undefined : read(text, from);
    if (!record) throw invalid(text, base);
    this.#record = record;
    this.#params?.reread(this.search);
  }
  static canParse(text, base) {
    try {
      return Boolean(new URL(text, base));
    } catch {
      return false;
    }
  }
  static parse(text, base) { return URL.canParse(text, base) ? new URL(text, base) : null; }
  get #opaque() { return typeof this.#record.path === 'string'; }
  get #credentials() { return !this.#record.hostname || this.#record.protocol === 'file:'; }
  get href() {
    const { protocol, username, password, hostname, query, hash } = this.#record;
    const user = username || password ? username + (password && ':' + password) + '@' : '';
    const authority = hostname === null ? (!this.#opaque && this.pathname.startsWith('//') ? '/.' : '') : '//' + user + this.host;
    return protocol + authority + this.pathname + (query === null ? '' : '?' + query) + (hash === null ? '' : '#' + hash);
  }
  set href(text) { this.#set(`${text}`); }
  get origin() {
    if (this.protocol === 'blob:' && /^https?:/.test(this.pathname) && URL.canParse(this.pathname)) return new URL(this.pathname).origin;
    return isSpecial(this.#record) && this.protocol !== 'file:' ? `${this.protocol}//${this.host}` : 'null';
  }
  get protocol() { return this.#record.protocol; }
  set protocol(text) {
    const match = /^([A-Za-z][A-Za-z0-9+.-]*):?/.exec(`${text}`);
    const protocol = match && match[1].toLowerCase() + ':';
    if (!match || Object.hasOwn(SPECIAL, protocol) !== isSpecial(this.#record)) return;
    this.#record.protocol = protocol;
    setPort(this.#record, this.#record.port);
  }
  get username() { return this.#record.username; }
  set username(text) { if (!this.#credentials) this.#record.username = encode(`${text}`, USER); }
  get password() { return this.#record.password; }
  set password(text) { if (!this.#credentials) this.#record.password = encode(`${text}`, USER); }
  get host() { return (this.#record.hostname ?? '') + (this.#record.port && ':' + this.#record.port); }
  set host(text) { if (!this.#opaque) setHost(this.#record, `${text}`.split(/[/?#]/)[0]); }
  get hostname() { return this.#record.hostname ?? ''; }
  set hostname(text) { if (!this.#opaque && !/^[^[]*:/.test(`${text}`)) setHost(this.#record, `${text}`.split(/[/?#]/)[0]); }
  get port() { return this.#record.port; }
  set port(text) {
    const digits = /^\d*/.exec(`${text}`)[0];
    if (!this.#credentials && (digits !== '' || `${text}` === '') && Number(digits) <= 65535) setPort(this.#record, digits);
  }
  get pathname() {
    const { path } = this.#record;
    return typeof path === 'string' ? path : path.map((part) => '/' + part).join('');
  }
  set pathname(text) {
    if (!this.#opaque) this.#record.path = segments(`${text}`.replace(isSpecial(this.#record) ? /^[\\/]/ : /^\//, ''), isSpecial(this.#record), []);
  }
  get search() { return this.#record.query ? '?' + this.#record.query : ''; }
  set search(text) {
    text = `${text}`;
    if (text === '') this.#record.query = null;
    else setQuery(this.#record, text.replace(/^\?/, ''));
    this.#params?.reread(this.search);
  }
  get searchParams() {
    return (this.#params ??= new URLSearchParams(this.search, () => (this.#record.query = this.#params.toString() || null)));
  }
  get hash() { return this.#record.hash ? '#' + this.#record.hash : ''; }
  set hash(text) { this.#record.hash = `${text}` === '' ? null : encode(`${text}`.replace(/^#/, ''), FRAGMENT); }
  toString() { return this.href; }
  toJSON() { return this.href; }
}
Object.defineProperty(URL.prototype, Symbol.toStringTag, { value: 'URL' });
URL.prototype[Symbol.for('nodejs.util.inspect.custom')] = function () { return `URL { href: '${this.href}' }`; };

function fileURLToPath(value) {
  if (typeof value !== 'string' && typeof value?.href !== 'string') throw argumentType('path', 'of type string or an instance of URL', value);
  const url = typeof value === 'string' ? new URL(value) : value;
  if (url.protocol !== 'file:') throw coded(new TypeError('The URL must be of scheme file'), 'ERR_INVALID_URL_SCHEME');
  if (url.hostname !== '') throw coded(new TypeError('File URL host must be "localhost" or empty on linux'), 'ERR_INVALID_FILE_URL_HOST');
  if (/%2f/i.test(url.pathname)) throw coded(new TypeError('File URL path must not include encoded / characters'), 'ERR_INVALID_FILE_URL_PATH');
  return decodeURIComponent(url.pathname);
}

function pathToFileURL(path) {
  const whole = require('path').resolve(path) + (path.length > 1 && path.endsWith('/') ? '/' : '');
  return new URL('file://' + encode(whole, /[%\\?#~\t\n\r ]/));
}

// The older functions.

const SLASHED = ['http:', 'https:', 'ftp:', 'gopher:', 'file:', 'ws:', 'wss:'];

class Url {
  constructor() {
    for (const name of ['protocol', 'slashes', 'auth', 'host', 'port', 'hostname', 'hash', 'search', 'query', 'pathname', 'path', 'href']) this[name] = null;
  }
  format() { return format(this); }
  parse(text, query) { return Object.assign(this, parse(text, query)); }
  resolve(to) { return resolve(this.href, to); }
}

function parse(text, parseQuery, slashesDenoteHost) {
  if (text instanceof Url) return text;
  if (typeof text !== 'string') throw argumentType('url', 'of type string', text);
  const out = new Url();
  let rest = text.trim();
  const cut = rest.search(/[?#]/);
  rest = cut < 0 ? rest.replace(/\\/g, '/') : rest.slice(0, cut).replace(/\\/g, '/') + rest.slice(cut);
  const scheme = /^[a-z0-9.+-]+:/i.exec(rest);
  if (scheme) {
    out.protocol = scheme[0].toLowerCase();
    rest = rest.slice(scheme[0].length);
  }
  if (rest.startsWith('//') && out.protocol !== 'javascript:' && (scheme || slashesDenoteHost || /^\/\/[^@/]+@[^@/]+/.test(rest))) {
    out.slashes = true;
    let end = rest.slice(2).search(/[/?#]/);
    end = end < 0 ? rest.length : end + 2;
    let authority = rest.slice(2, end);
    rest = rest.slice(end);
    const at = authority.lastIndexOf('@');
    if (at >= 0) [out.auth, authority] = [decodeURIComponent(authority.slice(0, at)), authority.slice(at + 1)];
    const [, name, port] = /^(.*?)(?::(\d*))?$/s.exec(authority);
    out.port = port || null;
    out.host = name.toLowerCase() + (port ? ':' + port : '');
    out.hostname = name.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  }
  rest = encode(rest, /[\t\n\r "'<>`{}|\\^]/).replace(/(?:%[89A-F][0-9A-F])+/gi, (run) => {
    try {
      return text.includes(run) ? run : decodeURIComponent(run);
    } catch {
      return run;
    }
  });
  const [, pathname, search, hash] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(rest);
  out.hash = hash ?? null;
  out.search = search ?? (parseQuery ? '' : null);
  out.query = search ? search.slice(1) : parseQuery ? '' : null;
  if (parseQuery) out.query = require('querystring').parse(out.query);
  out.pathname = pathname || (SLASHED.includes(out.protocol) && out.hostname ? '/' : null);
  if (out.pathname || search) out.path = (out.pathname || '') + (search || '');
  out.href = format(out);
  return out;
}

function format(value, options = {}) {
  if (typeof value === 'string') return parse(value).href;
  if (value instanceof URL) {
    const copy = new URL(value.href);
    if (options.auth === false) copy.username = copy.password = '';
    if (options.fragment === false) copy.hash = '';
    if (options.search === false) copy.search = '';
    return copy.href;
  }
  if (value === null || typeof value !== 'object') throw argumentType('urlObject', 'one of type object or string', value);
  const auth = value.auth ? encodeURIComponent(value.auth).replace(/%3A/i, ':') + '@' : '';
  let protocol = value.protocol || '';
  if (protocol && !protocol.endsWith(':')) protocol += ':';
  let host = value.host ? auth + value.host : value.hostname ? auth + (value.hostname.includes(':') && !value.hostname.startsWith('[') ? `[${value.hostname}]` : value.hostname) + (value.port ? ':' + value.port : '') : null;
  let pathname = (value.pathname || '').replace(/[?#]/g, encodeURIComponent);
  const query = value.query !== null && typeof value.query === 'object' ? require('querystring').stringify(value.query) : '';
  const prefixed = (text, mark) => (text && !text.startsWith(mark) ? mark + text : text);
  const search = prefixed((value.search || (query && '?' + query) || '').replace(/#/g, '%23'), '?');
  if (value.slashes || (SLASHED.includes(protocol) && host !== null)) {
    host = '//' + (host ?? '');
    pathname = prefixed(pathname, '/');
  }
  return protocol + (host ?? '') + pathname + search + prefixed(value.hash || '', '#');
}

function resolve(from, to) {
  const DUMMY = 'resolve://';
  const url = new URL(to, new URL(from, DUMMY + '/'));
  return url.protocol === 'resolve:' ? url.pathname + url.search + url.hash : url.href;
}

const urlToHttpOptions = (url) => ({
  protocol: url.protocol,
  hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'),
  hash: url.hash,
  search: url.search,
  pathname: url.pathname,
  path: url.pathname + url.search,
  href: url.href,
  ...(url.port !== '' && { port: Number(url.port) }),
  ...((url.username || url.password) && { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` }),
});
const ascii = (name) => hostOf(String(name), true) ?? '';

module.exports = { Url, parse, resolve, resolveObject: (from, to) => parse(resolve(from, to)), format, URL, URLSearchParams, domainToASCII: ascii, domainToUnicode: ascii, pathToFileURL, fileURLToPath, urlToHttpOptions };
