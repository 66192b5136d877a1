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
  let out = '';
  for (let i = 0; i < bytes.length; i += 4096) out += String.fromCharCode.apply(null, bytes.subarray(i, i + 4096));
  return out;
};

const encodings = {
  utf8: { read: (text) => host.utf8Encode(text), show: (binary) => host.utf8Decode(binary) },
  latin1: { read: (text) => text, show: (binary) => binary },
  base64: { read: fromBase64, show: toBase64 },
  base64url: { read: fromBase64, show: (binary) => toBase64(binary).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '') },
  hex: {
    read: (text) => (text.match(/^(?:[0-9a-fA-F]{2})+/)?.[0].match(/../g) || []).map((pair) => String.fromCharCode(Number.parseInt(pair, 16))).join(''),
    show: (binary) => Array.from(binary, (c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(''),
  },
};
encodings.utf = encodings.utf8;
encodings.binary = encodings.ascii = encodings.latin1;

function encodingOf(name) {
  const id = String(name ?? 'utf8').toLowerCase().replace(/^utf-8$/, 'utf8');
  const encoding = Object.hasOwn(encodings, id) ? encodings[id] : undefined;
  if (encoding) return encoding;
  const error = new TypeError(`Unknown encoding: ${name}`);
  error.code = 'ERR_UNKNOWN_ENCODING';
  throw error;
}

class Buffer extends Uint8Array {
  static from(value, encoding) {
    if (typeof value === 'string') {
      const binary = encodingOf(encoding).read(value);
      const out = new Buffer(binary.length);
      for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i);
      return out;
    }
    if (value instanceof ArrayBuffer) return new Buffer(value.slice(0));
    const out = new Buffer(value.length);
    out.set(value);
    return out;
  }
  static alloc(size, fill) {
    const out = new Buffer(size);
    if (typeof fill === 'number') out.fill(fill);
    return out;
  }
  static allocUnsafe(size) { return new Buffer(size); }
  static isBuffer(value) { return value instanceof Buffer; }
  static isEncoding(name) { return Object.hasOwn(encodings, String(name).toLowerCase().replace(/^utf-8$/, 'utf8')); }
  static byteLength(value, encoding) { return Buffer.from(value, encoding).length; }
  static concat(list) {
    const out = new Buffer(list.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of list) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
  toString(encoding, start, end) { return encodingOf(encoding).show(binaryOf(this.subarray(start ?? 0, end ?? this.length))); }
  toJSON() { return { type: 'Buffer', data: Array.from(this) }; }
  equals(other) { return this.length === other.length && this.every((byte, i) => byte === other[i]); }
  slice(start, end) { return this.subarray(start, end); }
}

module.exports = {
  Buffer,
  atob: (text) => fromBase64(String(text)),
  btoa: (text) => toBase64(String(text)),
};
