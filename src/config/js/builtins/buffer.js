// As much of Node's Buffer as a config uses: text in, text out, in another encoding.
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function toBase64(binary) {
  let out = '';
  for (let i = 0; i < binary.length; i += 3) {
    const [a, b, c] = [binary.charCodeAt(i), binary.charCodeAt(i + 1), binary.charCodeAt(i + 2)];
    out += ALPHABET[a >> 2] + ALPHABET[((a & 3) << 4) | (b >> 4)];
    out += i + 1 < binary.length ? ALPHABET[((b & 15) << 2) | (c >> 6)] : '=';
    out += i + 2 < binary.length ? ALPHABET[c & 63] : '=';
  }
  return out;
}

function fromBase64(text) {
  let bits = 0;
  let held = 0;
  let out = '';
  for (const c of text.replace(/-/g, '+').replace(/_/g, '/')) {
    const value = ALPHABET.indexOf(c);
    if (value < 0) {
      if (c === '=') break;
      continue;
    }
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += String.fromCharCode((held >> bits) & 255);
    }
  }
  return out;
}

const binaryOf = (bytes) => {
  if (bytes.buffer instanceof ArrayBuffer) return host.binaryOf(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let out = '';
  for (let i = 0; i < bytes.length; i += 4096) out += String.fromCharCode.apply(null, bytes.subarray(i, i + 4096));
  return out;
};

const encodings = {
  utf8: { read: (text) => host.utf8Encode(text), show: (binary) => host.utf8Decode(binary) },
  // What is put into bytes loses its upper half there.
  latin1: { read: (text) => text, show: (binary) => binary },
  utf16le: {
    read: (text) => text.replace(/[^]/g, (c) => String.fromCharCode(c.charCodeAt(0) & 0xff, c.charCodeAt(0) >> 8)),
    show: (binary) => (binary.match(/[^][^]/g) ?? []).map((pair) => String.fromCharCode(pair.charCodeAt(0) | (pair.charCodeAt(1) << 8))).join(''),
  },
  base64: { read: fromBase64, show: toBase64 },
  base64url: { read: fromBase64, show: (binary) => toBase64(binary).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '') },
  hex: {
    read: (text) => (text.match(/^(?:[0-9a-fA-F]{2})+/)?.[0].match(/../g) || []).map((pair) => String.fromCharCode(Number.parseInt(pair, 16))).join(''),
    show: (binary) => Array.from(binary, (c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(''),
  },
};
encodings['utf-8'] = encodings.utf8;
encodings.binary = encodings.latin1;
encodings.ascii = { read: encodings.latin1.read, show: (binary) => binary.replace(/[\x80-\xff]/g, (c) => String.fromCharCode(c.charCodeAt(0) & 0x7f)) };
encodings['utf-16le'] = encodings.ucs2 = encodings['ucs-2'] = encodings.utf16le;

function encodingOf(name) {
  const id = String(name ?? 'utf8').toLowerCase();
  const encoding = Object.hasOwn(encodings, id) ? encodings[id] : undefined;
  if (encoding) return encoding;
  const error = new TypeError(`Unknown encoding: ${name}`);
  error.code = 'ERR_UNKNOWN_ENCODING';
  throw error;
}

const unfit = () => {
  throw Object.assign(new Error('Invalid character'), { name: 'InvalidCharacterError', code: 5 });
};
const toBytes = (value, encoding) => (typeof value === 'string' ? Buffer.from(value, encoding) : value);

class Buffer extends Uint8Array {
  static from(value, encoding, length) {
    if (typeof value === 'string') {
      return new Buffer(host.bytesOf(encodingOf(encoding).read(value)));
    }
    if (value instanceof ArrayBuffer) return new Buffer(value, encoding, length);
    if (value === null || typeof value !== 'object')
      throw require('pmrun:errors').argumentType('first', 'of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object', value);
    const list = value.type === 'Buffer' && Array.isArray(value.data) ? value.data : value;
    const out = new Buffer(list.length ?? 0);
    out.set(list);
    return out;
  }
  static of(...bytes) { return Buffer.from(bytes); }
  static alloc(size, fill, encoding) {
    const out = new Buffer(size);
    return fill === undefined || fill === 0 ? out : out.fill(fill, 0, size, encoding);
  }
  static allocUnsafe(size) { return new Buffer(size); }
  static allocUnsafeSlow(size) { return new Buffer(size); }
  static isBuffer(value) { return value instanceof Buffer; }
  static isEncoding(name) { return typeof name === 'string' && Object.hasOwn(encodings, name.toLowerCase()); }
  static byteLength(value, encoding) { return typeof value === 'string' ? Buffer.from(value, encoding).length : value.byteLength; }
  static compare(a, b) {
    const at = a.findIndex((byte, i) => byte !== b[i]);
    return at >= 0 && at < b.length ? Math.sign(a[at] - b[at]) : Math.sign(a.length - b.length);
  }
  static concat(list, total = list.reduce((sum, part) => sum + part.length, 0)) {
    const out = new Buffer(total);
    let at = 0;
    for (const part of list) {
      out.set(part.subarray(0, Math.max(0, total - at)), at);
      at = Math.min(total, at + part.length);
    }
    return out;
  }
  toString(encoding, start, end) { return encodingOf(encoding).show(binaryOf(this.subarray(start ?? 0, end ?? this.length))); }
  toLocaleString(encoding, start, end) { return this.toString(encoding, start, end); }
  toJSON() { return { type: 'Buffer', data: Array.from(this) }; }
  equals(other) { return Buffer.compare(this, other) === 0; }
  compare(other) { return Buffer.compare(this, other); }
  slice(start, end) { return this.subarray(start, end); }
  write(text, at = 0, length, encoding) {
    if (typeof at === 'string') [encoding, at, length] = [at, 0, undefined];
    else if (typeof length === 'string') [encoding, length] = [length, undefined];
    const bytes = Buffer.from(text, encoding).subarray(0, Math.min(length ?? Infinity, this.length - at));
    this.set(bytes, at);
    return bytes.length;
  }
  copy(target, at = 0, start = 0, end = this.length) {
    const part = this.subarray(start, Math.min(end, start + target.length - at));
    target.set(part, at);
    return part.length;
  }
  fill(value, start = 0, end = this.length, encoding) {
    if (typeof value === 'number') return super.fill(value, start, end);
    const bytes = toBytes(value, encoding);
    for (let i = start; i < end; i++) this[i] = bytes.length ? bytes[(i - start) % bytes.length] : 0;
    return this;
  }
  indexOf(value, from, encoding) {
    if (typeof value === 'number') return super.indexOf(value & 255, from);
    return binaryOf(this).indexOf(binaryOf(toBytes(value, encoding)), from);
  }
  lastIndexOf(value, from, encoding) {
    if (typeof value === 'number') return super.lastIndexOf(value & 255);
    return binaryOf(this).lastIndexOf(binaryOf(toBytes(value, encoding)), from);
  }
  includes(value, from, encoding) { return this.indexOf(value, from, encoding) >= 0; }
}
// `readUInt16LE` and the like.
for (const [name, size] of [['Uint8', 1], ['Int8', 1], ['Uint16', 2], ['Int16', 2], ['Uint32', 4], ['Int32', 4], ['Float32', 4], ['Float64', 8]]) {
  const short = { Float32: 'Float', Float64: 'Double' }[name] ?? name;
  for (const order of size === 1 ? [''] : ['LE', 'BE']) {
    const read = function (at = 0) { return new DataView(this.buffer, this.byteOffset, this.length)['get' + name](at, order === 'LE'); };
    const write = function (value, at = 0) {
      new DataView(this.buffer, this.byteOffset, this.length)['set' + name](at, value, order === 'LE');
      return at + size;
    };
    for (const known of [short, short.replace('Uint', 'UInt')]) {
      Object.defineProperty(Buffer.prototype, 'read' + known + order, { value: read, writable: true });
      Object.defineProperty(Buffer.prototype, 'write' + known + order, { value: write, writable: true });
    }
  }
}

module.exports = {
  Buffer,
  constants: { MAX_LENGTH: 2 ** 32, MAX_STRING_LENGTH: 2 ** 29 - 24 },
  kMaxLength: 2 ** 32,
  atob: (text) => (/[^A-Za-z0-9+/=\s]/.test(text) ? unfit() : fromBase64(String(text))),
  btoa: (text) => (/[^\0-\xff]/.test(text) ? unfit() : toBase64(String(text))),
};
