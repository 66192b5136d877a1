// The `dotenv` package's interface. The reader is pmrun's own.
const fs = require('fs');
const path = require('path');
const process = require('process');

const parse = (text) => host.dotenv(String(text));

function populate(target, parsed, options) {
  const override = Boolean(options && options.override);
  for (const key of Object.keys(parsed)) {
    if (override || !Object.hasOwn(target, key)) target[key] = parsed[key];
  }
  return parsed;
}

function config(options = {}) {
  options = options || {};
  const named = options.path ?? path.resolve(process.cwd(), '.env');
  const parsed = {};
  let failed;
  for (const file of Array.isArray(named) ? named : [named]) {
    let where = file;
    if (typeof file === 'string') where = path.resolve(process.cwd(), file.startsWith('~') ? path.join(require('os').homedir(), file.slice(1)) : file);
    try {
      populate(parsed, parse(fs.readFileSync(where, options.encoding || 'utf8')), options);
    } catch (error) {
      failed = error;
    }
  }
  populate(options.processEnv || process.env, parsed, options);
  return failed ? { parsed, error: failed } : { parsed };
}

module.exports = { config, configDotenv: config, parse, populate };
