// Timers and the other small globals of Node.
const timer = (repeat) => (callback, delay, ...args) => {
  if (typeof callback !== 'function') throw require('pmrun:errors').argumentType('callback', 'of type function', callback);
  const id = host.timer(args.length ? () => callback(...args) : callback, Number(delay) || 0, repeat);
  return { id, ref() { return this; }, unref() { return this; }, hasRef: () => true, [Symbol.toPrimitive]: () => id };
};
const clear = (handle) => {
  if (handle !== undefined && handle !== null) host.clearTimer(Number(handle.id ?? handle));
};
const setTimeout = timer(false);

function clone(value, seen) {
  if (typeof value === 'function' || typeof value === 'symbol') {
    const error = new Error(`${String(value)} could not be cloned.`);
    error.name = 'DataCloneError';
    throw error;
  }
  if (value === null || typeof value !== 'object') return value;
  if (seen.has(value)) return seen.get(value);
  const keep = (copy) => (seen.set(value, copy), copy);
  if (value instanceof Date) return keep(new Date(value.getTime()));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if (value instanceof Map) {
    const copy = keep(new Map());
    for (const [k, v] of value) copy.set(clone(k, seen), clone(v, seen));
    return copy;
  }
  if (value instanceof Set) {
    const copy = keep(new Set());
    for (const v of value) copy.add(clone(v, seen));
    return copy;
  }
  if (ArrayBuffer.isView(value)) return keep(value.slice());
  if (value instanceof Error) {
    const copy = keep(new value.constructor(value.message));
    return copy;
  }
  const copy = keep(Array.isArray(value) ? new Array(value.length) : {});
  for (const key of Object.keys(value)) copy[key] = clone(value[key], seen);
  return copy;
}

module.exports = {
  setTimeout,
  setInterval: timer(true),
  setImmediate: (callback, ...args) => setTimeout(callback, 0, ...args),
  clearTimeout: clear,
  clearInterval: clear,
  clearImmediate: clear,
  queueMicrotask: (callback) => void Promise.resolve().then(callback),
  structuredClone: (value) => clone(value, new Map()),
  performance: { now: () => host.now(), timeOrigin: Date.now() },
};
