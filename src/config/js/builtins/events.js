// Node's `events`: packages extend EventEmitter, whatever they do with it later.
function EventEmitter() {}
const tables = new WeakMap();
const tableOf = (emitter) => tables.get(emitter) ?? (tables.set(emitter, new Map()), tables.get(emitter));
const add = (emitter, name, listener, first, once) => {
  if (typeof listener !== 'function') throw require('pmrun:errors').argumentType('listener', 'of type function', listener);
  const known = tableOf(emitter).get(name) ?? [];
  tableOf(emitter).set(name, first ? [{ listener, once }, ...known] : [...known, { listener, once }]);
  return emitter;
};

const methods = {
  on(name, listener) { return add(this, name, listener, false, false); },
  once(name, listener) { return add(this, name, listener, false, true); },
  prependListener(name, listener) { return add(this, name, listener, true, false); },
  prependOnceListener(name, listener) { return add(this, name, listener, true, true); },
  off(name, listener) {
    const known = tableOf(this).get(name) ?? [];
    const at = known.findLastIndex((entry) => entry.listener === listener);
    tableOf(this).set(name, known.filter((_, i) => i !== at));
    return this;
  },
  removeAllListeners(name) {
    if (name === undefined) tableOf(this).clear();
    else tableOf(this).delete(name);
    return this;
  },
  emit(name, ...args) {
    const known = tableOf(this).get(name) ?? [];
    if (!known.length && name === 'error') throw args[0] instanceof Error ? args[0] : new Error(`Unhandled error. (${require('util').inspect(args[0])})`);
    for (const { listener, once } of known) {
      if (once) this.off(name, listener);
      Reflect.apply(listener, this, args);
    }
    return known.length > 0;
  },
  listeners(name) { return (tableOf(this).get(name) ?? []).map((entry) => entry.listener); },
  listenerCount(name) { return (tableOf(this).get(name) ?? []).length; },
  eventNames() { return [...tableOf(this)].filter(([, known]) => known.length).map(([name]) => name); },
  setMaxListeners() { return this; },
  getMaxListeners() { return EventEmitter.defaultMaxListeners; },
};
methods.addListener = methods.on;
methods.removeListener = methods.off;
methods.rawListeners = methods.listeners;
for (const [name, value] of Object.entries(methods)) Object.defineProperty(EventEmitter.prototype, name, { value, enumerable: true, configurable: true, writable: true });
EventEmitter.defaultMaxListeners = 10;
EventEmitter.EventEmitter = EventEmitter;
EventEmitter.once = (emitter, name) =>
  new Promise((resolve, reject) => {
    emitter.once(name, (...args) => resolve(args));
    if (name !== 'error') emitter.once('error', reject);
  });
module.exports = EventEmitter;
