// Node's `path`: POSIX with `win32` in it. Natives, which turn to `pmrun:paths` for what is rare.
module.exports = host.path(require);
