// CommonJS as Node defines it, over the natives in `host`. Everything a config may never ask for is made when it is asked for.
(function (host) {
  'use strict';
  const made = new Map();
  const cache = Object.create(null);
  let main;

  function builtin(specifier) {
    const id = specifier.startsWith('node:') ? specifier.slice(5) : specifier;
    const known = made.get(id);
    if (known) return known.exports;
    const module = { exports: {} };
    made.set(id, module);
    host.builtin(id)(module, builtin, host, makeRequire);
    return module.exports;
  }

  function Module(id, parent) {
    this.id = parent ? id : '.';
    this.path = id.slice(0, id.lastIndexOf('/')) || '/';
    this.exports = {};
    this.filename = id;
    this.loaded = false;
    this.children = [];
    this.paths = [];
    if (parent) parent.children.push(this);
    Object.defineProperty(this, 'parent', { value: parent, configurable: true, writable: true });
  }

  function makeRequire(module) {
    const check = (specifier) => {
      if (typeof specifier !== 'string' || specifier === '')
        throw new TypeError('The "id" argument must be a non-empty string. Received ' + String(specifier));
    };
    function require(specifier) {
      check(specifier);
      if (host.isBuiltin(specifier)) return builtin(specifier);
      return load(host.resolve(specifier, module.path, module.filename, false), module).exports;
    }
    require.resolve = function resolve(specifier, options) {
      check(specifier);
      if (host.isBuiltin(specifier)) return specifier;
      const from = options && Array.isArray(options.paths) ? options.paths : [module.path];
      for (const folder of from.slice(0, -1)) {
        try {
          return host.resolve(specifier, folder, module.filename, false);
        } catch {}
      }
      return host.resolve(specifier, from[from.length - 1], module.filename, false);
    };
    require.main = main;
    require.cache = cache;
    require.extensions = Object.create(null);
    return require;
  }

  function run(module) {
    const body = host.compile(module.filename);
    if (typeof body === 'function') {
      Reflect.apply(body, module.exports, [module.exports, makeRequire(module), module, module.filename, module.path]);
    } else {
      module.exports = body.exports;
    }
  }

  function load(path, parent) {
    const known = cache[path];
    if (known) return known;
    const module = new Module(path, parent);
    if (!parent) main = module;
    cache[path] = module;
    // What goes through a handler loses its place, so the entry goes without one: nobody asks for it again.
    if (parent) {
      try {
        run(module);
      } catch (error) {
        delete cache[path];
        throw error;
      }
    } else run(module);
    module.loaded = true;
    return module;
  }

  // Which module has a global of Node's. Made when a file names one: an accessor would
  // do without the look at the text, but the engine's caches go wrong when a global's getter runs for the first time.
  const globals = { process: 'process', console: 'console', Buffer: 'buffer', atob: 'buffer', btoa: 'buffer', URL: 'url', URLSearchParams: 'url', TextEncoder: 'util', TextDecoder: 'util' };
  for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate', 'queueMicrotask', 'structuredClone', 'performance'])
    globals[name] = 'pmrun:globals';

  function provide(name) {
    if (Object.hasOwn(globalThis, name)) return;
    const module = builtin(globals[name]);
    const value = globals[name] === name ? module : module[name];
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }

  Object.defineProperty(globalThis, 'global', { value: globalThis, configurable: true, writable: true });

  return {
    builtin,
    provide,
    start: (path) => load(path, undefined).exports,
    exports: () => main.exports,
    require: (path) => load(path, main || new Module(path)).exports,
    environment: () => builtin('process').env,
    mode: () => {
      const { env } = builtin('process');
      return Object.hasOwn(env, 'NODE_ENV') ? env.NODE_ENV : undefined;
    },
  };
});
