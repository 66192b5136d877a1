// What Node answers in its own language, American English. There are no tables of others here, and no options but two.
const { missing } = require('pmrun:errors');

function american(what, locales, options, known = []) {
  const named = Array.isArray(locales) ? locales[0] : locales;
  const odd = Object.keys(options ?? {}).some((key) => !known.includes(key));
  if (odd || ![undefined, 'en', 'en-US'].includes(named)) throw missing(`${what} with a language${odd ? ' or options' : ''}`);
}

function number(value, locales, options) {
  american('Number.prototype.toLocaleString', locales, options, ['minimumFractionDigits', 'maximumFractionDigits', 'useGrouping']);
  if (Number.isNaN(value)) return 'NaN';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  if (!Number.isFinite(value)) return `${sign}∞`;
  const least = options?.minimumFractionDigits ?? 0;
  const size = Math.abs(value);
  const [whole, fraction = ''] = (size < 1e21 ? rounded(size, options?.maximumFractionDigits ?? Math.max(least, 3)) : String(BigInt(size))).split('.');
  const digits = fraction.replace(/0+$/, '').padEnd(least, '0');
  const grouped = options?.useGrouping === false ? whole : whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return `${sign}${grouped}${digits && `.${digits}`}`;
}

// By the digits that are shown of a number, not by the bits that it is.
function rounded(size, digits) {
  const [shown, exponent = '0'] = String(size).split('e');
  return Number(`${Math.round(Number(`${shown}e${Number(exponent) + digits}`))}e-${digits}`).toFixed(digits);
}

const two = (value) => String(value).padStart(2, '0');
const day = (date) => `${date.getMonth() + 1}/${date.getDate()}/${date.getFullYear()}`;
const time = (date) => `${date.getHours() % 12 || 12}:${two(date.getMinutes())}:${two(date.getSeconds())}\u202f${date.getHours() < 12 ? 'AM' : 'PM'}`;
const dated = (name, show) => (date, locales, options) => {
  american(`Date.prototype.${name}`, locales, options);
  return Number.isNaN(date.getTime()) ? 'Invalid Date' : show(date);
};

module.exports = {
  number,
  toLocaleString: dated('toLocaleString', (date) => `${day(date)}, ${time(date)}`),
  toLocaleDateString: dated('toLocaleDateString', day),
  toLocaleTimeString: dated('toLocaleTimeString', time),
};
