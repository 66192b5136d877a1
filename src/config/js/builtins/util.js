// Node's `util`, as far as configs print and wrap things.
const quote = (text) => {
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes('`') ? '`' : "'";
  return mark + text.replace(/[\\\n\r\t]/g, (c) => ({ '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c]).replaceAll(mark, mark === "'" ? "\\'" : mark) + mark;
};

function inspect(value, options, ...legacy) {
  // The older form: showHidden, depth, colors.
  if (typeof options === 'boolean') options = { depth: legacy[0] === undefined ? 2 : legacy[0] };
  const depth = options && typeof options === 'object' && options.depth !== undefined ? (options.depth ?? Infinity) : 2;
  return show(value, depth, [], 0);
}
inspect.custom = Symbol.for('nodejs.util.inspect.custom');
inspect.defaultOptions = { depth: 2, colors: false };

function show(value, depth, above, indent) {
  const custom = value !== null && typeof value === 'object' && value[inspect.custom];
  if (typeof custom === 'function' && custom !== inspect) {
    const shown = custom.call(value, depth - above.length, {}, inspect);
    return typeof shown === 'string' ? shown : show(shown, depth, above, indent);
  }
  switch (typeof value) {
    case 'string': return quote(value);
    case 'bigint': return `${value}n`;
    case 'number': return Object.is(value, -0) ? '-0' : String(value);
    case 'function': {
      const parent = Object.getPrototypeOf(value);
      if (/^class\b/.test(Function.prototype.toString.call(value))) return `[class ${value.name || '(anonymous)'}${parent?.name ? ` extends ${parent.name}` : ''}]`;
      return `[${value.constructor?.name || 'Function'}${value.name ? ': ' + value.name : ' (anonymous)'}]`;
    }
    case 'object': break;
    default: return String(value);
  }
  if (value === null) return 'null';
  if (above.includes(value)) return '[Circular *1]';
  if (value instanceof Error) return value.stack?.includes('\n') ? value.stack : `[${value.stack ?? value}]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof String || value instanceof Number || value instanceof Boolean) return `[${value.constructor.name}: ${show(value.valueOf(), depth, above, indent)}]`;
  if (value instanceof require('buffer').Buffer) return `<Buffer${Array.from(value.subarray(0, 50), (byte) => ' ' + byte.toString(16).padStart(2, '0')).join('')}${value.length > 50 ? ` ... ${value.length - 50} more byte${value.length > 51 ? 's' : ''}` : ''}>`;
  const name = value.constructor && value.constructor.name;
  const bare = Array.isArray(value) ? '[Array]' : `[${name || 'Object: null prototype'}]`;
  if (above.length > depth) return bare;
  const inner = [...above, value];
  const one = (item) => show(item, depth, inner, indent + 2);
  const property = (key) => {
    const { get, set } = Object.getOwnPropertyDescriptor(value, key) ?? {};
    const shown = get ? (set ? '[Getter/Setter]' : '[Getter]') : set ? '[Setter]' : one(value[key]);
    return `${typeof key === 'symbol' ? `[${String(key)}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key)}: ${shown}`;
  };
  const keys = [...Object.keys(value), ...Object.getOwnPropertySymbols(value).filter((key) => Object.prototype.propertyIsEnumerable.call(value, key))];
  if (value instanceof Promise) return 'Promise {}';
  if (value instanceof Map) return wrap(`Map(${value.size}) {`, Array.from(value, ([k, v]) => `${one(k)} => ${one(v)}`), '}', indent);
  if (value instanceof Set) return wrap(`Set(${value.size}) {`, Array.from(value, one), '}', indent);
  if (Array.isArray(value)) {
    const items = Array.from(value.slice(0, 100), (item, i) => (i in value ? one(item) : '<1 empty item>'));
    if (value.length > 100) items.push(`... ${value.length - 100} more items`);
    return wrap('[', [...items, ...keys.filter((key) => !/^\d+$/.test(String(key))).map(property)], ']', indent);
  }
  if (ArrayBuffer.isView(value)) return wrap(`${name}(${value.length}) [`, Array.from(value.subarray(0, 100), String), ']', indent);
  const prefix = name === 'Object' ? '{' : name ? `${name} {` : '[Object: null prototype] {';
  return wrap(prefix, keys.map(property), '}', indent);
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
  if (a instanceof RegExp) return String(a) === String(b);
  if (a instanceof Map || a instanceof Set) return a.size === b.size && isDeepStrictEqual([...a], [...b]);
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isDeepStrictEqual(a[key], b[key]));
}

class TextEncoder {
  get encoding() { return 'utf-8'; }
  encode(text = '') { return Uint8Array.from(require('buffer').Buffer.from(String(text))); }
}
class TextDecoder {
  constructor(label = 'utf-8') { this.encoding = String(label).toLowerCase(); }
  decode(bytes) {
    if (bytes === undefined) return '';
    const text = require('buffer').Buffer.from(bytes.buffer ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : bytes).toString(this.encoding);
    return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  }
}

const promisify = (callee) => {
  if (typeof callee !== 'function') throw require('pmrun:errors').argumentType('original', 'of type function', callee);
  return promised(callee);
};
const promised = (callee) =>
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
  inherits(child, parent) {
    Object.defineProperty(child, 'super_', { value: parent, configurable: true, writable: true });
    Object.setPrototypeOf(child.prototype, parent.prototype);
  },
  callbackify: (callee) => (...args) => {
    const callback = args.pop();
    callee(...args).then((value) => callback(null, value), (error) => callback(error));
  },
  formatWithOptions: (_, ...args) => format(...args),
  debuglog: () => Object.assign(() => {}, { enabled: false }),
  styleText: (_, text) => String(text),
  toUSVString: (text) => String(text).toWellFormed(),
  isArray: Array.isArray,
  stripVTControlCharacters: (text) => text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, ''),
  parseEnv: (text) => host.dotenv(String(text)),
  types: {
    isDate: (value) => value instanceof Date,
    isRegExp: (value) => value instanceof RegExp,
    isPromise: (value) => value instanceof Promise,
    isMap: (value) => value instanceof Map,
    isSet: (value) => value instanceof Set,
    isNativeError: (value) => value instanceof Error,
    isUint8Array: (value) => value instanceof Uint8Array,
    isTypedArray: (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
    isArrayBuffer: (value) => value instanceof ArrayBuffer,
    isProxy: () => false,
    isAsyncFunction: (value) => value?.constructor?.name === 'AsyncFunction',
    isGeneratorFunction: (value) => value?.constructor?.name === 'GeneratorFunction',
  },
};
module.exports.debug = module.exports.debuglog;
