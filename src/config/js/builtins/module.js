// Node's `module`, for `createRequire(import.meta.url)`.
module.exports = {
  createRequire(from) {
    const filename = typeof from === 'string' && !from.startsWith('file:') ? from : require('url').fileURLToPath(from);
    return makeRequire({ filename, path: require('path').dirname(filename), children: [] });
  },
  isBuiltin: (name) => host.isBuiltin(String(name)),
  builtinModules: ['buffer', 'child_process', 'console', 'fs', 'module', 'os', 'path', 'process', 'url', 'util'],
};
