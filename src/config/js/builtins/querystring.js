// Node's `querystring`.
const escape = (text) => encodeURIComponent(String(text));
const unescape = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
const plain = (value) => (['string', 'bigint', 'boolean'].includes(typeof value) || Number.isFinite(value) ? escape(value) : '');

function stringify(object, sep = '&', eq = '=') {
  if (object === null || typeof object !== 'object') return '';
  return Object.keys(object)
    .flatMap((key) => (Array.isArray(object[key]) ? object[key] : [object[key]]).map((value) => plain(key) + eq + plain(value)))
    .join(sep);
}

function parse(text, sep = '&', eq = '=') {
  const out = Object.create(null);
  for (const pair of typeof text === 'string' && text ? text.split(sep) : []) {
    if (pair === '') continue;
    const at = pair.indexOf(eq);
    const [key, value] = (at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + eq.length)]).map((part) => unescape(part.replace(/\+/g, ' ')));
    if (!(key in out)) out[key] = value;
    else out[key] = [].concat(out[key], value);
  }
  return out;
}

module.exports = { parse, stringify, escape, unescape, decode: parse, encode: stringify };
