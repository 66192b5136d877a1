// Runs in the user's own Node: evaluates the config named on the command line, and writes what it exports to descriptor 0,
// a socket of pmrun's. The embedded engine does the same in Rust.
'use strict';
const { readFileSync, writeSync } = require('node:fs');
const { builtinModules, createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');
const { inspect, parseEnv } = require('node:util');
const { stringify } = JSON;
// Globals of a script that is run by `-e`; other files have none of them.
const scripts = ['require', 'module', 'exports', '__filename', '__dirname', ...builtinModules];
const everywhere = ['console', 'crypto', 'process'];
const entry = process.argv[1];
const asText = process.argv.pop() === 'text';
// The profile of `--env`, where there is one.
const [profile] = process.argv.splice(2);
process.execArgv.length = 0;

// What the config sets, and what it looks for by name before it goes through all of them, as in `builtins/process.js`.
const given = { ...process.env };
const set = new Set();
let enumerated = false;
process.env = new Proxy(process.env, {
  getOwnPropertyDescriptor(target, key) {
    if (!enumerated) set.add(key);
    return Reflect.getOwnPropertyDescriptor(target, key);
  },
  ownKeys(target) {
    enumerated = true;
    return Reflect.ownKeys(target);
  },
  set(target, key, value) {
    set.add(key);
    target[key] = value;
    return true;
  },
});
const loadEnvFile = process.loadEnvFile;
if (loadEnvFile) {
  process.loadEnvFile = (path = '.env') => {
    loadEnvFile.call(process, path);
    for (const key of Object.keys(parseEnv(readFileSync(path, 'utf8')))) set.add(key);
  };
}

let sent = false;
function send(message) {
  if (sent) return;
  sent = true;
  const bytes = Buffer.from(stringify(message));
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(0, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

let ended;
const exit = process.exit;
process.exit = (code) => {
  ended ??= { call: `process.exit(${code ?? ''})`, stack: String(new Error().stack) };
  return exit.call(process, code);
};
process.on('exit', () => send(ended ? { exited: ended } : 'pending'));

function fail(error) {
  const known = error instanceof Error || (error !== null && typeof error === 'object' && typeof error.message === 'string');
  const text = (value) => (typeof value === 'string' ? value : undefined);
  send({
    threw: known
      ? { name: text(error.name), message: text(error.message), code: text(error.code), stack: text(error.stack), from: text(error.requireStack?.[0]) }
      : { message: typeof error === 'string' ? error : inspect(error) },
  });
  // Of a module that does not parse only Node itself can say where, on its way out.
  const frame = String(error?.stack).split('\n').find((line) => /^ +at /.test(line) && !line.endsWith('(<anonymous>)'));
  const placed = /^(?:file:\/\/)?\/.*:\d+\n/.test(error?.stack) || /^\/.*\.json: /.test(error?.message) || (frame && !/\bnode:/.test(frame));
  if (known && error.name === 'SyntaxError' && !placed) {
    process.removeListener('uncaughtException', fail);
    setImmediate(() => {
      throw error;
    });
  } else exit.call(process, 1);
}
process.on('uncaughtException', fail);

// What a module means to export: its default, unless the named exports hold the apps.
function chosen(module) {
  if (!('default' in module)) return module;
  const whole = module.default;
  if (!('apps' in module)) return whole;
  if (typeof whole !== 'object' || whole === null) return module;
  if (Array.isArray(whole) || 'apps' in whole) return whole;
  return Object.fromEntries(Object.entries(module).filter(([name]) => name !== 'default' && name !== '__esModule'));
}

async function main() {
  const { cache } = createRequire(entry);
  const module = await import(pathToFileURL(entry).href).catch((error) => {
    // What Node says of a CommonJS export that has a `then`: it is awaited below.
    if (error?.code !== 'ERR_VM_MODULE_NOT_MODULE' || !cache[entry]?.loaded) throw error;
  });
  const known = cache[entry];
  let value = known ? known.exports : chosen(module);
  if (known && value?.__esModule && typeof value !== 'function') value = chosen(value);
  for (let left = 8; ; left--) {
    if (left === 0) throw new Error('the exported function returns functions without end');
    value = await value;
    if (typeof value === 'function' && Object.getOwnPropertyDescriptor(value, 'prototype')?.writable === false) {
      send('class');
      exit.call(process, 1);
    } else if (typeof value === 'function') value = value({ env: process.env, mode: profile ?? process.env.NODE_ENV });
    else if (Object.prototype.toString.call(value) === '[object Module]' && chosen(value) !== value) value = chosen(value);
    else break;
  }
  // What was rejected by now, and is not handled, ends Node.
  await new Promise((done) => setImmediate(done));
  let unfit;
  const above = [];
  const path = [];
  function held(key, value) {
    while (above.length > 0 && above.at(-1) !== this) {
      above.pop();
      path.pop();
    }
    // JSON has no NaN, and an option that is one has to be named.
    if (typeof value === 'number' && !Number.isFinite(value)) return { [' number']: String(value) };
    const step = Array.isArray(this) ? Number(key) : key;
    const big = typeof value === 'bigint' || value instanceof BigInt;
    if (big || above.includes(value)) {
      unfit ??= { big, path: [...path, step].slice(1) };
      return null;
    }
    if (typeof value === 'object' && value !== null) {
      above.push(value);
      path.push(step);
    }
    return value;
  }
  const texts = ['string', 'number', 'boolean'];
  const changed = ([key, value]) => texts.includes(typeof value) && (set.has(key) || given[key] !== String(value));
  const assigned = Object.fromEntries(Object.entries(process.env ?? {}).filter(changed).map(([key, value]) => [key, String(value)]));
  let json;
  try {
    json = asText ? stringify(value) : stringify(value, held);
  } catch (error) {
    if (asText) json = stringify(value, held);
    if (!unfit) throw error;
  }
  if (unfit) {
    send({ unfit: { ...unfit, json } });
    exit.call(process, 1);
  }
  // So does what a timer throws that is due at once.
  await new Promise((done) => setTimeout(done, 1));
  send({ value: { json, assigned } });
  exit.call(process, 0);
}
// Some of them Node puts back once the script is done.
setImmediate(() => {
  for (const name of scripts) if (!everywhere.includes(name)) delete globalThis[name];
  main().catch(fail);
});
