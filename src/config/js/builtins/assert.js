// Node's `assert`, the parts with which configs guard their variables.
const util = require('util');

class AssertionError extends Error {
  constructor(message) {
    super(message);
    this.name = 'AssertionError';
    this.code = 'ERR_ASSERTION';
  }
}
const check = (fine, message, fallback) => {
  if (fine) return;
  throw message instanceof Error ? message : new AssertionError(message ?? fallback());
};
const pair = (a, word, b) => () => `${util.inspect(a)} ${word} ${util.inspect(b)}`;

const assert = (value, message) => check(value, message, () => 'The expression evaluated to a falsy value');
Object.assign(assert, {
  AssertionError,
  ok: (value, message) => assert(value, message),
  fail: (message = 'Failed') => check(false, message),
  equal: (a, b, message) => check(a == b, message, pair(a, '==', b)),
  notEqual: (a, b, message) => check(a != b, message, pair(a, '!=', b)),
  strictEqual: (a, b, message) => check(Object.is(a, b), message, () => `Expected values to be strictly equal:\n\n${util.inspect(a)} !== ${util.inspect(b)}\n`),
  notStrictEqual: (a, b, message) => check(!Object.is(a, b), message, pair(a, 'not strictly equal to', b)),
  deepStrictEqual: (a, b, message) => check(util.isDeepStrictEqual(a, b), message, pair(a, 'deeply equal to', b)),
  notDeepStrictEqual: (a, b, message) => check(!util.isDeepStrictEqual(a, b), message, pair(a, 'not deeply equal to', b)),
  throws(callee, expected, message) {
    try {
      callee();
    } catch (error) {
      const fits = expected instanceof RegExp ? expected.test(String(error)) : true;
      return check(fits, undefined, () => `The error did not match: ${error}`);
    }
    check(false, typeof expected === 'string' ? expected : message, () => 'Missing expected exception.');
  },
  ifError(value) {
    if (value !== null && value !== undefined) throw value;
  },
  match: (text, pattern, message) => check(pattern.test(text), message, pair(text, 'matching', pattern)),
});
assert.deepEqual = assert.deepStrictEqual;
assert.notDeepEqual = assert.notDeepStrictEqual;
assert.strict = assert;
module.exports = assert;
