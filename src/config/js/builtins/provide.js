// Which module has a global of Node's. Made when a file names one: an accessor would
// do without the look at the text, but the engine's caches go wrong when a global's getter runs for the first time.
const globals = { process: 'process', console: 'console', Buffer: 'buffer', atob: 'buffer', btoa: 'buffer', URL: 'url', URLSearchParams: 'url', TextEncoder: 'util', TextDecoder: 'util', crypto: 'crypto' };

module.exports = (name) => {
  if (name === 'Date' || name === 'toLocale') return require('pmrun:dates').install();
  if (Object.hasOwn(globalThis, name)) return;
  const from = globals[name] ?? 'pmrun:globals';
  const value = from === name ? require(from) : require(from)[name];
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
};
