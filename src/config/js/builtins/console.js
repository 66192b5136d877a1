// Node's `console`. Everything goes to stderr: stdout belongs to the command that reads the config.
const { format, inspect } = require('util');

let indent = '';
const print = (...args) => host.print(indent + format(...args).replace(/\n/g, '\n' + indent) + '\n');
const counts = new Map();
const timers = new Map();
const time = (label = 'default') => `${label}: ${(host.now() - (timers.get(label) ?? host.now())).toFixed(3)}ms`;

// A row of cells for each entry, a column for each of their keys.
function table(rows, only) {
  if (rows === null || typeof rows !== 'object') return print(rows);
  const isRow = (value) => value !== null && (typeof value === 'object' || typeof value === 'function');
  const cell = (value) => inspect(value, { breakLength: Infinity, maxArrayLength: 3, depth: isRow(value) && !Array.isArray(value) && Object.keys(value).length > 2 ? -1 : 0 });
  const heads = [rows instanceof Map || rows instanceof Set ? '(iteration index)' : '(index)'];
  let lines;
  if (rows instanceof Map) {
    heads.push('Key', 'Values');
    lines = Array.from(rows, ([key, value], at) => [String(at), cell(key), cell(value)]);
  } else {
    const entries = rows instanceof Set ? Array.from(rows, (value, at) => [String(at), value]) : Object.entries(rows);
    const keys = only ?? [...new Set(entries.flatMap(([, value]) => (isRow(value) ? Object.keys(value) : [])))];
    const values = entries.some(([, value]) => !isRow(value));
    heads.push(...keys, ...(values ? ['Values'] : []));
    const told = (value) => (isRow(value) ? keys.map((key) => (Object.hasOwn(value, key) ? cell(value[key]) : '')) : keys.map(() => ''));
    lines = entries.map(([index, value]) => [index, ...told(value), ...(values ? [isRow(value) ? '' : cell(value)] : [])]);
  }
  const widths = heads.map((head, column) => Math.max(...[heads, ...lines].map((line) => line[column].length)));
  const row = (line) => `│ ${line.map((text, column) => text.padEnd(widths[column])).join(' │ ')} │`;
  const rule = (left, middle, right) => left + widths.map((width) => '─'.repeat(width + 2)).join(middle) + right;
  print([rule('┌', '┬', '┐'), row(heads), rule('├', '┼', '┤'), ...lines.map(row), rule('└', '┴', '┘')].join('\n'));
}

const console = {
  log: print,
  info: print,
  debug: print,
  warn: print,
  error: print,
  trace: (...args) => print('Trace:', ...args),
  dir: (value, options) => print(inspect(value, options)),
  dirxml: print,
  table,
  assert: (fine, ...args) => fine || print('Assertion failed' + (args.length ? ':' : ''), ...args),
  group(...args) {
    if (args.length) print(...args);
    indent += '  ';
  },
  groupEnd() {
    indent = indent.slice(2);
  },
  count(label = 'default') {
    counts.set(label, (counts.get(label) || 0) + 1);
    print(`${label}: ${counts.get(label)}`);
  },
  countReset: (label = 'default') => void counts.delete(label),
  time: (label = 'default') => void timers.set(label, host.now()),
  timeLog: (label) => print(time(label)),
  timeEnd(label) {
    print(time(label));
    timers.delete(label ?? 'default');
  },
  clear() {},
};
console.groupCollapsed = console.group;
console.Console = function Console() {
  return console;
};
module.exports = console;
