// Dates as people write them, which the language leaves to its engines: read as V8 does.
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const zones = { z: 0, ut: 0, utc: 0, gmt: 0, est: -5, edt: -4, cst: -6, cdt: -5, mst: -7, mdt: -6, pst: -8, pdt: -7 };
// A time; an offset; a number; a word. Anything else stands between them.
const part = /(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?|([+-])(\d{1,2}):?(\d{2})?(?![\d-])|(\d+)|([a-z]+)/gi;

function parse(text) {
  const numbers = [];
  let [month, clock, offset, half] = [];
  for (const [, h, m, s = 0, fraction = '', sign, hours, minutes, number, named] of text.replace(/\([^)]*\)?/g, ' ').matchAll(part)) {
    const word = named?.toLowerCase();
    if (h !== undefined) clock = [Number(h), Number(m), Number(s), Math.trunc(Number(`0.${fraction}0`) * 1000)];
    else if (number !== undefined) numbers.push(Number(number));
    // Before there is a time, it is a number behind a dash.
    else if (sign && !clock && offset === undefined) numbers.push(Number(hours + (minutes ?? '')));
    else if (sign) offset = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes ?? 0));
    else if (word === 'am' || word === 'pm') half = word;
    else if (Object.hasOwn(zones, word) && (clock || numbers.length)) offset = zones[word] * 60;
    else if (months.includes(word.slice(0, 3))) month = months.indexOf(word.slice(0, 3));
    else if (numbers.length && word !== 't') return NaN;
  }
  if (numbers.length > 3 || numbers.length === 0) return NaN;
  let [year, day] = [];
  if (month !== undefined) [day, year = 2001] = numbers[0] > 31 ? [numbers[1], numbers[0]] : numbers;
  else if (numbers[0] > 31) [year, month, day = 1] = [numbers[0], numbers[1] - 1, numbers[2]];
  else [month, day = 1, year = 2001] = [numbers[0] - 1, numbers[1], numbers[2]];
  if (year < 50) year += 2000;
  else if (year < 100) year += 1900;
  let [h, m, s, ms] = clock ?? [0, 0, 0, 0];
  if (half) h = (h % 12) + (half === 'pm' ? 12 : 0);
  if (!(month >= 0 && month < 12 && day >= 1 && day <= 31) || h > 24 || m > 59 || s > 59) return NaN;
  if (offset === undefined) return new Date(year, month, day, h, m, s, ms).getTime();
  return Date.UTC(year, month, day, h, m - offset, s, ms);
}

// What people write for a date, and how numbers and dates are written for people: put in place when a file names either.
let installed = false;
function install() {
  if (installed) return;
  installed = true;
  const genuine = Date.parse;
  const read = (text) => {
    const time = genuine(text);
    return Number.isNaN(time) ? parse(text) : time;
  };
  const hidden = (object, name, value) => Object.defineProperty(object, name, { value, configurable: true, writable: true });
  hidden(Date, 'parse', { parse: (text) => read(String(text)) }.parse);
  const Dates = new Proxy(Date, {
    construct: (target, args, made) => Reflect.construct(target, args.length === 1 && typeof args[0] === 'string' ? [read(args[0])] : args, made),
  });
  hidden(globalThis, 'Date', Dates);
  hidden(Date.prototype, 'constructor', Dates);
  for (const name of ['toLocaleString', 'toLocaleDateString', 'toLocaleTimeString'])
    hidden(Date.prototype, name, { [name](locales, options) { return require('pmrun:locale')[name](this, locales, options); } }[name]);
  const lists = new Set();
  const each = (item, locales, options) => (item === null || item === undefined ? '' : item.toLocaleString(locales, options));
  hidden(Array.prototype, 'toLocaleString', { toLocaleString(locales, options) {
    if (lists.has(this)) return '';
    lists.add(this);
    try {
      return Array.from(this, (item) => each(item, locales, options)).join(',');
    } finally {
      lists.delete(this);
    }
  } }.toLocaleString);
  hidden(Number.prototype, 'toLocaleString', { toLocaleString(locales, options) { return require('pmrun:locale').number(this.valueOf(), locales, options); } }.toLocaleString);
}

module.exports = { install };
