// Node's `console`. Everything goes to stderr: stdout belongs to the command that reads the config.
const { format, inspect } = require('util');

let indent = '';
const print = (...args) => host.print(indent + format(...args).replace(/\n/g, '\n' + indent) + '\n');
const counts = new Map();
const timers = new Map();
const time = (label = 'default') => `${label}: ${(host.now() - (timers.get(label) ?? host.now())).toFixed(3)}ms`;

const console = {
  log: print,
  info: print,
  debug: print,
  warn: print,
  error: print,
  trace: (...args) => print('Trace:', ...args),
  dir: (value, options) => print(inspect(value, options)),
  dirxml: print,
  table: (rows) => print(inspect(rows)),
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
