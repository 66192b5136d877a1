// What V8 has beyond the language: `boot.js` puts it in place.
module.exports = {
  captureStackTrace(target, above) {
    const [, ...all] = new Error().stack.split('\n');
    const frames = all.slice(typeof above === 'function' && above.name ? all.findIndex((frame) => frame.startsWith(`    at ${above.name} `)) + 1 : 0);
    Object.defineProperty(target, 'stack', { value: [String(target), ...frames].join('\n'), configurable: true, writable: true });
  },
  // Without tables of languages there is one order, the one that most of them share.
  localeCompare(other, locales, options) {
    return require('pmrun:collate')(String(this), String(other), options);
  },
};
