// What `require` has besides requiring.
const check = (specifier) => {
  const { argumentType, argumentValue } = typeof specifier === 'string' && specifier !== '' ? {} : require('pmrun:errors');
  if (typeof specifier !== 'string') throw argumentType('id', 'of type string', specifier);
  if (specifier === '') throw argumentValue('id', 'must be a non-empty string', specifier);
};

module.exports = {
  refuse: check,
  resolve(module, specifier, options) {
    check(specifier);
    if (host.isBuiltin(specifier, module.path)) return specifier;
    const from = options && Array.isArray(options.paths) ? options.paths : [module.path];
    for (const folder of from.slice(0, -1)) {
      try {
        return host.resolve(specifier, folder, module.filename, false);
      } catch {}
    }
    return host.resolve(specifier, from[from.length - 1], module.filename, false);
  },
  paths: (module, specifier) => (host.isBuiltin(specifier) ? null : /^\.\.?(?:\/|$)/.test(specifier) ? [module.path] : host.modulePaths(module.path)),
};
