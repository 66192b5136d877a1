// Node's `util`, as far as configs print and wrap things.
const quote = (text) => {
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes('`') ? '`' : "'";
  return mark + text.replace(/[\\\n\r\t]/g, (c) => ({ '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c]).replaceAll(mark, mark === "'" ? "\\'" : mark) + mark;
};

function inspect(value, options, ...legacy) {
  // The older form: showHidden, depth, colors.
  if (typeof options === 'boolean') options = { depth: legacy[0] === undefined ? 2 : legacy[0] };
  const outer = [asked, circles];
  circles = new Map();
  asked = { ...inspect.defaultOptions, ...(typeof options === 'object' ? options : undefined) };
  try {
    return show(value, asked.depth ?? Infinity, [], 0);
  } finally {
    [asked, circles] = outer;
  }
}
inspect.custom = Symbol.for('nodejs.util.inspect.custom');
inspect.defaultOptions = { depth: 2, colors: false, compact: 3, breakLength: 80, maxArrayLength: 100, showHidden: false };
// What the value that is being shown is shown with, and how deep its last part was.
let asked = inspect.defaultOptions;
let deepest = 0;
// What contains itself, numbered as it is found out.
let circles = new Map();

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
      if (Object.getOwnPropertyDescriptor(value, 'prototype')?.writable === false) return `[class ${value.name || '(anonymous)'}${parent?.name ? ` extends ${parent.name}` : ''}]`;
      return `[${value.constructor?.name || 'Function'}${value.name ? ': ' + value.name : ' (anonymous)'}]`;
    }
    case 'object': break;
    default: return String(value);
  }
  if (value === null) return 'null';
  if (above.includes(value)) {
    if (!circles.has(value)) circles.set(value, circles.size + 1);
    return `[Circular *${circles.get(value)}]`;
  }
  if (value instanceof Error) return value.stack?.includes('\n') ? value.stack : `[${value.stack ?? value}]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof String || value instanceof Number || value instanceof Boolean) return `[${value.constructor.name}: ${show(value.valueOf(), depth, above, indent)}]`;
  if (value instanceof require('buffer').Buffer) return `<Buffer${Array.from(value.subarray(0, 50), (byte) => ' ' + byte.toString(16).padStart(2, '0')).join('')}${value.length > 50 ? ` ... ${value.length - 50} more byte${value.length > 51 ? 's' : ''}` : ''}>`;
  const name = value.constructor && value.constructor.name;
  const bare = Array.isArray(value) ? '[Array]' : `[${name || 'Object: null prototype'}]`;
  const isEmpty = value instanceof Map || value instanceof Set ? value.size === 0 : Reflect.ownKeys(value).length === (Array.isArray(value) ? 1 : 0);
  if (above.length > depth && !isEmpty) return bare;
  if (!isEmpty) deepest = above.length;
  const inner = [...above, value];
  const one = (item) => show(item, depth, inner, indent + 2);
  const property = (key) => {
    const { get, set } = Object.getOwnPropertyDescriptor(value, key) ?? {};
    const shown = get ? (set ? '[Getter/Setter]' : '[Getter]') : set ? '[Setter]' : one(value[key]);
    return `${typeof key === 'symbol' ? `[${String(key)}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key)}: ${shown}`;
  };
  const keys = [...Object.keys(value), ...Object.getOwnPropertySymbols(value).filter((key) => Object.prototype.propertyIsEnumerable.call(value, key))];
  if (value instanceof Promise) return 'Promise {}';
  if (value instanceof Map) return wrap(`Map(${value.size}) {`, Array.from(value, ([k, v]) => `${one(k)} => ${one(v)}`), '}', indent, above, undefined, value);
  if (value instanceof Set) return wrap(`Set(${value.size}) {`, Array.from(value, one), '}', indent, above, undefined, value);
  if (Array.isArray(value)) {
    const shown = Math.max(0, asked.maxArrayLength ?? Infinity);
    const items = Array.from(value.slice(0, shown), (item, i) => (i in value ? one(item) : '<1 empty item>'));
    if (value.length > shown) items.push(more(value.length - shown));
    if (asked.showHidden) items.push(`[length]: ${value.length}`);
    return wrap('[', [...items, ...keys.filter((key) => !/^\d+$/.test(String(key))).map(property)], ']', indent, above, value);
  }
  if (ArrayBuffer.isView(value)) return wrap(`${name}(${value.length}) [`, Array.from(value.subarray(0, 100), String), ']', indent, above, value);
  const prefix = name === 'Object' ? '{' : name ? `${name} {` : '[Object: null prototype] {';
  return wrap(prefix, keys.map(property), '}', indent, above, undefined, value);
}

// Many short items stand in columns: about as wide as high, numbers to the right.
function columned(parts, list, indent) {
  const count = list.length > parts.length || /^\.\.\. \d+ more items?$/.test(parts.at(-1)) ? parts.length - 1 : parts.length;
  const lengths = parts.slice(0, count).map((part) => part.length);
  const longest = Math.max(...lengths) + 2;
  const total = lengths.reduce((sum, length) => sum + length + 2, 0);
  if (longest * 3 + indent >= asked.breakLength || (total / longest <= 5 && longest > 8)) return parts;
  const width = Math.max(longest - 3 - Math.sqrt(longest - total / parts.length), 1);
  const most = Math.floor((asked.breakLength - indent) / longest);
  const columns = Math.min(Math.round(Math.sqrt(2.5 * width * count) / width), most, asked.compact * 4, 15);
  if (columns <= 1) return parts;
  const widths = Array.from({ length: columns }, (_, column) => Math.max(...lengths.filter((_, at) => at % columns === column)));
  const right = parts.every((_, at) => at >= list.length || typeof list[at] === 'number' || typeof list[at] === 'bigint');
  const rows = [];
  for (let at = 0; at < count; at += columns) {
    const row = parts.slice(at, Math.min(at + columns, count));
    const padded = (part, column) => (right ? part.padStart(widths[column]) : column < row.length - 1 ? `${part},`.padEnd(widths[column] + 1) : part);
    rows.push(row.map(padded).join(right ? ', ' : ' '));
  }
  return [...rows, ...parts.slice(count)];
}

const more = (count) => `... ${count} more item${count === 1 ? '' : 's'}`;

// On one line, if that is short and few things are within each other.
function wrap(begin, all, close, indent, above, list, value = list) {
  const open = circles.has(value) ? `<ref *${circles.get(value)}> ${begin}` : begin;
  if (!all.length) return open + close;
  const parts = list && all.length > 6 && typeof asked.compact === 'number' && asked.compact >= 1 ? columned(all, list, indent) : all;
  const length = parts.reduce((sum, part) => sum + part.length, 2 * parts.length + indent + open.length + 10);
  const flat = typeof asked.compact === 'number' && deepest - above.length < asked.compact && parts.length === all.length && length <= asked.breakLength;
  if (flat && !parts.some((part) => part.includes('\n'))) return `${open} ${parts.join(', ')} ${close}`;
  const pad = ' '.repeat(indent + 2);
  return `${open}\n${pad}${parts.join(`,\n${pad}`)}\n${' '.repeat(indent)}${close}`;
}

function format(...args) {
  if (args.length === 1 && typeof args[0] === 'string') return args[0];
  if (typeof args[0] !== 'string') return args.map(word).join(' ');
  let next = 1;
  const first = args[0].replace(/%([sdifjoOc%])/g, (whole, kind) => {
    if (kind === '%') return '%';
    if (next >= args.length) return whole;
    const value = args[next++];
    switch (kind) {
      case 's': return asText(value);
      case 'd': return typeof value === 'bigint' ? `${value}n` : String(Number(value));
      case 'i': return String(Number.parseInt(value, 10));
      case 'f': return String(Number.parseFloat(value));
      case 'j': return asJson(value);
      case 'c': return '';
      case 'o': return inspect(value, { depth: 4, showHidden: true });
      default: return inspect(value);
    }
  });
  return [first, ...args.slice(next).map(word)].join(' ');
}
function asText(value) {
  if (typeof value === 'bigint' || Object.is(value, -0)) return inspect(value);
  if (typeof value !== 'object' || value === null) return String(value);
  const own = [Object, Array, Error, Map, Set, Date].every((known) => value.toString !== known.prototype.toString);
  return typeof value.toString === 'function' && own ? String(value) : inspect(value, { depth: 0 });
}
function asJson(value) {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (/circular|cyclic/i.test(error.message)) return '[Circular]';
    throw error;
  }
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
