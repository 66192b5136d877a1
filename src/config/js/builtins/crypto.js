// Node's `crypto`, as far as configs name and number things: digests and random values.
const { Buffer } = require('buffer');
const { absent, missing } = require('pmrun:errors');

const idOf = (name) => String(name).toLowerCase().replace(/^sha-?(1|2(?:24|56)|384|512)$/, 'sha$1');
const binaryOf = (data, encoding) => (typeof data === 'string' ? Buffer.from(data, encoding) : Buffer.from(data)).toString('latin1');
const digested = (name, binary) => {
  const digest = host.digest(idOf(name), binary);
  if (digest !== undefined) return Buffer.from(digest, 'latin1');
  throw new Error('Digest method not supported');
};

class Hash {
  constructor(name, finish) {
    this.parts = '';
    this.finish = finish ?? ((binary) => digested(name, binary));
    this.finish('');
  }
  update(data, encoding) {
    this.parts += binaryOf(data, encoding);
    return this;
  }
  digest(encoding) {
    const digest = this.finish(this.parts);
    return encoding && encoding !== 'buffer' ? digest.toString(encoding) : digest;
  }
  copy() { return Object.assign(Object.create(Hash.prototype), this); }
}

function createHmac(name, key) {
  const size = /384|512/.test(idOf(name)) ? 128 : 64;
  let secret = Buffer.from(binaryOf(key), 'latin1');
  if (secret.length > size) secret = digested(name, secret.toString('latin1'));
  const pad = (byte) => Array.from({ length: size }, (_, i) => String.fromCharCode((secret[i] ?? 0) ^ byte)).join('');
  return new Hash(name, (binary) => digested(name, pad(0x5c) + digested(name, pad(0x36) + binary).toString('latin1')));
}

const randomBytes = (size, callback) => {
  const bytes = Buffer.from(host.random(size), 'latin1');
  return callback ? void Promise.resolve().then(() => callback(null, bytes)) : bytes;
};
function randomUUID() {
  const bytes = randomBytes(16);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
function randomInt(low, high) {
  if (high === undefined) [low, high] = [0, low];
  return low + Number(BigInt('0x' + randomBytes(8).toString('hex')) % BigInt(high - low));
}
function getRandomValues(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  bytes.set(randomBytes(bytes.length));
  return array;
}

const subtle = absent('crypto.subtle', 'decrypt deriveBits deriveKey digest encrypt exportKey generateKey importKey sign unwrapKey verify wrapKey');
const crypto = {
  createHash: (name) => new Hash(name),
  createHmac,
  hash: (name, data, encoding = 'hex') => new Hash(name).update(data).digest(encoding),
  getHashes: () => ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'],
  randomBytes,
  randomInt,
  randomUUID,
  getRandomValues,
  timingSafeEqual: (a, b) => Buffer.from(a).equals(Buffer.from(b)),
  subtle,
  webcrypto: { getRandomValues, randomUUID, subtle },
};
for (const name of ['createCipheriv', 'createDecipheriv', 'createSign', 'createVerify', 'createPrivateKey', 'createPublicKey', 'pbkdf2Sync', 'scryptSync', 'generateKeyPairSync', 'publicEncrypt', 'privateDecrypt'])
  crypto[name] = () => {
    throw missing('crypto.' + name);
  };
module.exports = crypto;
