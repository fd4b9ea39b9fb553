'use strict';
// What comes from the user enters the page by textContent and title alone, never as HTML.
const page = JSON.parse(document.getElementById('data').textContent);
const at = (id) => document.getElementById(id);
const RED = page.positive, BLUE = page.negative, Z95 = 1.96;

function make(tag, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
}

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const floats = (text) => text === null ? null : new Float32Array(bytes(text).buffer);

function digits(value, count = 3) {
  if (Number.isNaN(value)) return 'NaN';
  if (value === 0) return '0';
  if (Math.abs(value) < 1e-4) return value.toExponential(count - 1);
  return value.toPrecision(count).replace('e+', 'e');
}
const signed = (value) => (value > 0 ? '+' : '') + digits(value);
// 12345 is written out, 0.12345 is not; what is rounded before its point says so: 1.235e7.
const plain = (value) => {
  if (Number.isNaN(value)) return 'NaN';
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  const short = value.toPrecision(4);
  return short.includes('e') ? short.replace(/\.?0*e\+?/, 'e') : String(Number(short));
};

// Sorts text as text, numbers as numbers, NaN last.
function before(a, b, sign) {
  if (typeof a === 'string' || typeof b === 'string')
    return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return sign * (a - b);
}

// lines: {cells: [{key, nodes, title}], pick, current}; a click on a heading sorts by its keys.
function table(heads, lines) {
  const body = make('tbody');
  for (const line of lines) {
    line.node = make('tr', { className: line.pick ? 'pick' : '' });
    if (line.pick) { line.node.onclick = line.pick; line.node.tabIndex = 0; }
    line.node.onkeydown = (event) => { if (event.key === 'Enter') line.pick?.(); };
    line.cells.forEach((one, place) => line.node.append(make(place ? 'td' : 'th',
      { title: one.title ?? '' }, ...(one.nodes ?? [String(one.key)]))));
  }
  body.append(...lines.map((line) => line.node));
  const row = make('tr');
  heads.forEach((text, column) => {
    const button = make('button', { type: 'button', textContent: text });
    const head = make('th', { scope: 'col' }, button);
    button.onclick = () => {
      const last = head.getAttribute('aria-sort');
      const rising = last ? last === 'descending' : column === 0;
      for (const other of row.cells) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', rising ? 'ascending' : 'descending');
      lines.sort((a, b) => before(a.cells[column].key, b.cells[column].key, rising ? 1 : -1));
      body.append(...lines.map((line) => line.node));
    };
    row.append(head);
  });
  return make('table', {}, make('thead', {}, row), body);
}

// A bar around the middle; where `whole`, for what is never negative, from the left end.
function bar(value, error, size, colour, whole) {
  const track = make('span', { className: whole ? 'track whole' : 'track' });
  const within = (v) => Math.max(whole ? 0 : -1, Math.min(1, v / size));
  const place = (from, to, name) => {
    const [low, high] = [from, to].map((v) => whole ? 100 * within(v) : 50 + 50 * within(v));
    const part = make('span', { className: name });
    part.style.left = `${Math.min(low, high)}%`;
    part.style.width = `${Math.abs(high - low)}%`;
    track.append(part);
    return part;
  };
  if (size && !Number.isNaN(value)) place(0, value, '').style.background = colour;
  if (size && error > 0) place(value - Z95 * error, value + Z95 * error, 'error');
  return track;
}

// `whole`: never negative, from the left end. `grey`: the sign is no push up or down.
function number(value, error, size, whole = false, grey = whole) {
  const small = make('small', { textContent: Number.isNaN(error) ? '' : ` ± ${digits(error, 2)}` });
  const colour = grey ? 'gray' : value < 0 ? BLUE : RED;
  return [whole ? digits(value) : signed(value), small, bar(value, error, size, colour, whole)];
}

// How far a value's 95 % interval reaches: bars are drawn so large that all of it is seen.
const reach = (value, error) => Math.abs(value) + (error > 0 ? Z95 * error : 0);
const most = (list) => list.reduce((m, v) => Math.abs(v) > m ? Math.abs(v) : m, 0);
