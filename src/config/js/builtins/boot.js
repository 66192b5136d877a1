// CommonJS as Node defines it, over the natives in `host`. Everything a config may never ask for is made when it is asked for.
(function (host) {
  'use strict';
  const made = new Map();
  const cache = Object.create(null);
  let main;
  // What has required the config, as PM2 would have: a config that is run by itself does something else.
  let root;

  function builtin(specifier) {
    const id = specifier.startsWith('node:') ? specifier.slice(5) : specifier;
    const known = made.get(id);
    if (known) return known.exports;
    const module = { exports: {} };
    made.set(id, module);
    host.builtin(id)(module, builtin, host, makeRequire);
    return module.exports;
  }

  const pathsOf = (folder) => {
    const parts = folder.split('/').filter(Boolean);
    return Array.from({ length: parts.length + 1 }, (_, i) => parts.slice(0, parts.length - i))
      .filter((above) => above[above.length - 1] !== 'node_modules')
      .map((above) => ['', ...above, 'node_modules'].join('/'));
  };

  function Module(id, parent) {
    this.id = parent ? id : '.';
    this.path = id.slice(0, id.lastIndexOf('/')) || '/';
    this.exports = {};
    this.filename = id;
    this.loaded = false;
    this.children = [];
    this.paths = pathsOf(this.path);
    if (parent) parent.children.push(this);
    Object.defineProperty(this, 'parent', { value: parent || root, configurable: true, writable: true });
  }
  root = new Module('/pmrun');
  Module.prototype.require = function (specifier) {
    return makeRequire(this)(specifier);
  };

  function makeRequire(module) {
    const check = (specifier) => {
      const { argumentType, argumentValue } = typeof specifier === 'string' && specifier !== '' ? {} : builtin('pmrun:errors');
      if (typeof specifier !== 'string') throw argumentType('id', 'of type string', specifier);
      if (specifier === '') throw argumentValue('id', 'must be a non-empty string', specifier);
    };
    function require(specifier) {
      check(specifier);
      if (host.isBuiltin(specifier, module.path)) return builtin(specifier);
      return load(host.resolve(specifier, module.path, module.filename, false), module).exports;
    }
    require.resolve = function resolve(specifier, options) {
      check(specifier);
      if (host.isBuiltin(specifier, module.path)) return specifier;
      const from = options && Array.isArray(options.paths) ? options.paths : [module.path];
      for (const folder of from.slice(0, -1)) {
        try {
          return host.resolve(specifier, folder, module.filename, false);
        } catch {}
      }
      return host.resolve(specifier, from[from.length - 1], module.filename, false);
    };
    require.resolve.paths = (specifier) => (host.isBuiltin(specifier) ? null : /^\.\.?(?:\/|$)/.test(specifier) ? [module.path] : pathsOf(module.path));
    require.main = root;
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
    if (!parent) {
      main = module;
      host.main = () => main;
    }
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
  const globals = { process: 'process', console: 'console', Buffer: 'buffer', atob: 'buffer', btoa: 'buffer', URL: 'url', URLSearchParams: 'url', TextEncoder: 'util', TextDecoder: 'util', crypto: 'crypto' };
  for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate', 'queueMicrotask', 'structuredClone', 'performance'])
    globals[name] = 'pmrun:globals';

  function provide(name) {
    if (name === 'Date' || name === 'toLocale') return builtin('pmrun:dates').install();
    if (Object.hasOwn(globalThis, name)) return;
    const module = builtin(globals[name]);
    const value = globals[name] === name ? module : module[name];
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }

  Object.defineProperty(globalThis, 'global', { value: globalThis, configurable: true, writable: true });

  // What V8 has beyond the language, and packages count on.
  Object.defineProperty(Error, 'captureStackTrace', {
    value: (target, above) => {
      const [, ...all] = new Error().stack.split('\n');
      const frames = all.slice(typeof above === 'function' && above.name ? all.findIndex((frame) => frame.startsWith(`    at ${above.name} `)) + 1 : 0);
      Object.defineProperty(target, 'stack', { value: [String(target), ...frames].join('\n'), configurable: true, writable: true });
    },
    configurable: true,
    writable: true,
  });
  Error.stackTraceLimit = 10;
  // Without tables of languages there is one order, the one that most of them share.
  Object.defineProperty(String.prototype, 'localeCompare', {
    value: function localeCompare(other, locales, options) { return builtin('pmrun:collate')(String(this), String(other), options); },
    configurable: true,
    writable: true,
  });

  return {
    builtin,
    provide,
    start: (path) => load(path, undefined).exports,
    exports: () => main.exports,
    require: (path) => load(path, main || new Module(path)).exports,
    environment: () => builtin('process').env,
    assigned: () => (made.has('process') ? host.assigned() : []),
    listens: (event) => made.has('process') && builtin('process').listenerCount(event) > 0,
    // Of a class nobody may write the prototype.
    isClass: (value) => Object.getOwnPropertyDescriptor(value, 'prototype')?.writable === false,
    mode: () => {
      const { env } = builtin('process');
      return Object.hasOwn(env, 'NODE_ENV') ? env.NODE_ENV : undefined;
    },
  };
});
