// CommonJS as Node defines it, over the natives in `host`. Everything a config may never ask for is made, and read, when it is
// asked for: the engine takes longer to read this file than to run a config.
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

  function Module(id, parent) {
    this.id = parent ? id : '.';
    this.path = id.slice(0, id.lastIndexOf('/')) || '/';
    this.exports = {};
    this.filename = id;
    this.loaded = false;
    this.children = [];
    this.paths = host.modulePaths(this.path);
    if (parent) parent.children.push(this);
    Object.defineProperty(this, 'parent', { value: parent || root, configurable: true, writable: true });
  }
  root = new Module('/pmrun');
  Module.prototype.require = function (specifier) {
    return makeRequire(this)(specifier);
  };

  function makeRequire(module) {
    function require(specifier) {
      if (typeof specifier !== 'string' || specifier === '') builtin('pmrun:require').refuse(specifier);
      if (host.isBuiltin(specifier, module.path)) return builtin(specifier);
      return load(host.resolve(specifier, module.path, module.filename, false), module).exports;
    }
    require.resolve = function resolve(specifier, options) {
      return builtin('pmrun:require').resolve(module, specifier, options);
    };
    require.resolve.paths = (specifier) => builtin('pmrun:require').paths(module, specifier);
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

  Object.defineProperty(globalThis, 'global', { value: globalThis, configurable: true, writable: true });

  // What V8 has beyond the language, and packages count on.
  for (const [owner, name, length] of [[Error, 'captureStackTrace', 2], [String.prototype, 'localeCompare', 3]])
    Object.defineProperty(owner, name, { value: host.later(builtin, 'pmrun:language', name, length), configurable: true, writable: true });
  Error.stackTraceLimit = 10;

  return {
    builtin,
    provide: (name) => builtin('pmrun:provide')(name),
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
