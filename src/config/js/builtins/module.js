// Node's `module`, for `createRequire(import.meta.url)`.
const { argumentValue } = require('pmrun:errors');

function Module() {}
module.exports = Object.assign(Module, {
  Module,
  createRequire(from) {
    const named = typeof from === 'string' ? from : from?.href;
    if (typeof named !== 'string' || !/^(?:file:|\/)/.test(named)) throw argumentValue('filename', 'must be a file URL object, file URL string, or absolute path string', from);
    const filename = named.startsWith('file:') ? require('url').fileURLToPath(named) : named;
    return makeRequire({ filename, path: filename.endsWith('/') ? filename : require('path').dirname(filename), children: [] });
  },
  isBuiltin: (name) => typeof name === 'string' && host.isBuiltin(name),
  builtinModules: ['assert', 'buffer', 'child_process', 'console', 'crypto', 'events', 'fs', 'fs/promises', 'module', 'os', 'path', 'path/posix', 'path/win32', 'process', 'querystring', 'timers', 'timers/promises', 'url', 'util'],
  globalPaths: [],
  syncBuiltinESMExports() {},
  findSourceMap() {},
});
