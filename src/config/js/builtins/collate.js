// `localeCompare` as Node's default does it for text without a language's own rules: first letters, then accents, then case.
const ORDER = '\t\n\v\f\r _-,;:!?.\'"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz';
const ranks = new Map(Array.from(ORDER, (c, i) => [c, i]));
const rank = (c) => ranks.get(c) ?? ORDER.length + c.codePointAt(0);

function first(a, b, compare) {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) {
    if (i >= a.length || i >= b.length) return a.length < b.length ? -1 : 1;
    const found = compare(a[i], b[i]);
    if (found) return Math.sign(found);
  }
  return 0;
}
const letters = (text, numeric) => {
  const plain = text.normalize('NFD').replace(/[\u0300-\u036f]/g, '').toLowerCase();
  return numeric ? plain.match(/\d+|[^\d]/gu) ?? [] : Array.from(plain);
};
const byRank = (a, b) => (/^\d\d*$/.test(a) && /^\d\d*$/.test(b) ? Number(a) - Number(b) : rank(a[0]) - rank(b[0]));
const accents = (text) => Array.from(text.normalize('NFD').toLowerCase());
const cases = (text) => Array.from(text.normalize('NFD'), (c) => (c === c.toLowerCase() ? 0 : 1));

module.exports = (a, b, options = {}) => {
  const { sensitivity = 'variant', numeric = false, caseFirst } = options;
  const found = first(letters(a, numeric), letters(b, numeric), byRank);
  if (found || sensitivity === 'base') return found;
  const accent = sensitivity === 'case' ? 0 : first(accents(a), accents(b), (x, y) => (x < y ? -1 : x > y ? 1 : 0));
  if (accent || sensitivity === 'accent') return accent;
  return first(cases(a), cases(b), (x, y) => (caseFirst === 'upper' ? y - x : x - y));
};
