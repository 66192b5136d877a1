// Node's `util`, as far as configs print and wrap things.
const quote = (text) => {
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes('`') ? '`' : "'";
  return mark + text.replace(/[\\\n\r\t]/g, (c) => ({ '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c]).replaceAll(mark, mark === "'" ? "\\'" : mark) + mark;
};

function inspect(value, options) {
  const depth = options && typeof options === 'object' && options.depth !== undefined ? (options.depth ?? Infinity) : 2;
  return show(value, depth, [], 0);
}
inspect.custom = Symbol.for('nodejs.util.inspect.custom');

function show(value, depth, above, indent) {
  switch (typeof value) {
    case 'string': return quote(value);
    case 'bigint': return `${value}n`;
    case 'number': return Object.is(value, -0) ? '-0' : String(value);
    case 'function': {
      const kind = /^class\b/.test(Function.prototype.toString.call(value)) ? 'class' : 'Function';
      return kind === 'class' ? `[class ${value.name || '(anonymous)'}]` : `[Function${value.name ? ': ' + value.name : ' (anonymous)'}]`;
    }
    case 'object': break;
    default: return String(value);
  }
  if (value === null) return 'null';
  if (above.includes(value)) return '[Circular *1]';
  if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : `[${value}]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  const name = value.constructor && value.constructor.name;
  const bare = Array.isArray(value) ? '[Array]' : `[${name || 'Object: null prototype'}]`;
  if (above.length > depth) return bare;
  const inner = [...above, value];
  const one = (item) => show(item, depth, inner, indent + 2);
  const property = (key) => `${/^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key)}: ${one(value[key])}`;
  if (value instanceof Promise) return 'Promise {}';
  if (value instanceof Map) return wrap(`Map(${value.size}) {`, Array.from(value, ([k, v]) => `${one(k)} => ${one(v)}`), '}', indent);
  if (value instanceof Set) return wrap(`Set(${value.size}) {`, Array.from(value, one), '}', indent);
  if (Array.isArray(value)) {
    const items = value.slice(0, 100).map(one);
    if (value.length > 100) items.push(`... ${value.length - 100} more items`);
    return wrap('[', items, ']', indent);
  }
  if (ArrayBuffer.isView(value)) return wrap(`${name}(${value.length}) [`, Array.from(value.subarray(0, 100), String), ']', indent);
  const prefix = name === 'Object' ? '{' : name ? `${name} {` : '[Object: null prototype] {';
  return wrap(prefix, Object.keys(value).map(property), '}', indent);
}

function wrap(open, parts, close, indent) {
  if (!parts.length) return open + close;
  const line = `${open} ${parts.join(', ')} ${close}`;
  if (line.length + indent <= 76 && !line.includes('\n')) return line;
  const pad = ' '.repeat(indent + 2);
  return `${open}\n${pad}${parts.join(`,\n${pad}`)}\n${' '.repeat(indent)}${close}`;
}

function format(...args) {
  if (typeof args[0] !== 'string') return args.map(word).join(' ');
  let next = 1;
  const first = args[0].replace(/%([sdifjoOc%])/g, (whole, kind) => {
    if (kind === '%') return '%';
    if (next >= args.length) return whole;
    const value = args[next++];
    switch (kind) {
      case 's': return typeof value === 'object' && value !== null ? inspect(value, { depth: 0 }) : String(value);
      case 'd': return typeof value === 'bigint' ? `${value}n` : String(Number(value));
      case 'i': return String(Number.parseInt(value, 10));
      case 'f': return String(Number.parseFloat(value));
      case 'j': return JSON.stringify(value);
      case 'c': return '';
      default: return inspect(value, { depth: 4 });
    }
  });
  return [first, ...args.slice(next).map(word)].join(' ');
}
const word = (value) => (typeof value === 'string' ? value : inspect(value));

function isDeepStrictEqual(a, b) {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Date) return a.getTime() === b.getTime();
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isDeepStrictEqual(a[key], b[key]));
}

class TextEncoder {
  get encoding() { return 'utf-8'; }
  encode(text = '') { return Uint8Array.from(require('buffer').Buffer.from(String(text))); }
}
class TextDecoder {
  constructor(label = 'utf-8') { this.encoding = String(label).toLowerCase(); }
  decode(bytes) { return bytes === undefined ? '' : require('buffer').Buffer.from(bytes.buffer ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : bytes).toString(); }
}

const promisify = (callee) =>
  callee[Symbol.for('nodejs.util.promisify.custom')] ??
  ((...args) => new Promise((resolve, reject) => callee(...args, (error, value) => (error ? reject(error) : resolve(value)))));
promisify.custom = Symbol.for('nodejs.util.promisify.custom');

module.exports = {
  inspect,
  format,
  promisify,
  isDeepStrictEqual,
  TextEncoder,
  TextDecoder,
  deprecate: (callee) => callee,
  inherits: (child, parent) => void Object.setPrototypeOf(child.prototype, parent.prototype),
  isArray: Array.isArray,
  stripVTControlCharacters: (text) => text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, ''),
  parseEnv: (text) => host.dotenv(String(text)),
  types: {
    isDate: (value) => value instanceof Date,
    isRegExp: (value) => value instanceof RegExp,
    isPromise: (value) => value instanceof Promise,
    isMap: (value) => value instanceof Map,
    isSet: (value) => value instanceof Set,
  },
};
