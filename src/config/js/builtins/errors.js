// Node's words for arguments of the wrong kind.
function received(value) {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value === 'object') return value.constructor && value.constructor.name ? `an instance of ${value.constructor.name}` : require('util').inspect(value);
  const shown = typeof value === 'string' ? (value.length > 28 ? `'${value.slice(0, 25)}...'` : `'${value}'`) : typeof value === 'bigint' ? `${value}n` : String(value);
  return `type ${typeof value} (${shown})`;
}
const coded = (error, code) => Object.assign(error, { code });

// What this engine lacks: the words are known to pmrun, which adds how to go on.
const missing = (what) => coded(new Error(`${what} is not available to a config in pmrun's own engine`), 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM');
// It is there for whoever only asks whether it is.
const absent = (what, names) => Object.fromEntries(names.split(' ').map((name) => [name, () => {
  throw missing(`${what}.${name}`);
}]));

module.exports = {
  absent,
  coded,
  argumentType: (name, expected, value) => coded(new TypeError(`The ${name === 'first' ? 'first argument' : `"${name}" argument`} must be ${expected}. Received ${received(value)}`), 'ERR_INVALID_ARG_TYPE'),
  argumentValue: (name, problem, value) => coded(new TypeError(`The ${name.includes('.') ? 'property' : 'argument'} '${name}' ${problem}. Received ${require('util').inspect(value)}`), 'ERR_INVALID_ARG_VALUE'),
  missing,
};
