// ------------------------------------------------------------------------------ numbers

for (const method of page.methods) for (const layer of method.layers)
  for (const key of ['values', 'errors', 'base', 'prediction']) layer[key] = floats(layer[key]);
const n = page.rows.length;
const data = page.data ? floats(page.data) : null;
const d = page.features ? page.features.length : 0;
const state = { row: 0, layer: 0, feature: 0 };

const layerOf = (method) => method.layers[Math.min(state.layer, method.layers.length - 1)];
const outputOf = (layer, row) => Array.isArray(layer.output) ? layer.output[row] : layer.output;
const current = () => layerOf(page.methods[0]);
// A method by its name, in this row or over all; one that explains another output than the first
// is told with it.
function titled(method, row) {
  const said = (layer) => row === undefined ? String(layer.output) : outputOf(layer, row);
  const layer = layerOf(method), own = said(layer);
  if (own === said(current())) return method.name;
  const each = row === undefined && Array.isArray(layer.output);
  return `${method.name}, of ${each ? 'each row’s own output' : own}`;
}

function cell(row, j) {
  if (!data) return '';
  const value = data[row * d + j];
  if (Number.isNaN(value)) return '';
  return page.categories[j] ? page.categories[j][value] : plain(value);
}

function told(layer, row, j) {
  const error = layer.errors ? layer.errors[row * d + j] : NaN;
  const tail = Number.isNaN(error) ? '' : ` ± ${digits(error)}`;
  return `${digits(layer.values[row * d + j], 7)}${tail}`;
}

// ------------------------------------------------------------------------------ one row

function featuresOf(row) {
  const names = page.words ? page.words[row] : page.features;
  return names.map((name, j) => ({ name, j })).filter(({ name }) => !page.words || name !== '');
}

function rowTable() {
  const { row } = state, first = current();
  const sizes = page.methods.map((m) => {
    const { values, errors } = layerOf(m);
    return most(Array.from({ length: d }, (_, j) => reach(values[row * d + j], errors?.[row * d + j])));
  });
  const size = ({ j }) => Math.abs(first.values[row * d + j]) || 0;
  const shown = featuresOf(row).sort((a, b) => size(b) - size(a));
  const columns = shown.some(({ j }) => cell(row, j) !== '');
  const lines = shown.map(({ name, j }) => ({
    cells: [{ key: name }, ...(columns ? [entry(cell(row, j))] : []),
      ...page.methods.map((method, place) => {
        const layer = layerOf(method), value = layer.values[row * d + j];
        const error = layer.errors ? layer.errors[row * d + j] : NaN;
        return { key: value, nodes: number(value, error, sizes[place]), title: told(layer, row, j) };
      })],
  }));
  const heads = [page.words ? 'word' : 'feature', ...(columns ? ['value'] : [])];
  return make('div', { className: 'scroll' },
    table([...heads, ...page.methods.map((m) => titled(m, row))], lines));
}

// What stands in a cell: numbers sort as numbers.
function entry(text) {
  const value = Number(text);
  return { key: text === '' ? NaN : Number.isNaN(value) ? text : value, nodes: [text] };
}

function rowWords() {
  const { row } = state, layer = current(), text = make('p', { className: 'words' });
  const size = most(layer.values.subarray(row * d, row * d + d));
  for (const { name, j } of featuresOf(row)) {
    const value = layer.values[row * d + j], word = make('span', { textContent: name });
    const share = Math.round(80 * Math.abs(value) / (size || 1)) || 0;
    word.style.background = `color-mix(in srgb, ${value < 0 ? BLUE : RED} ${share}%, transparent)`;
    word.title = told(layer, row, j);
    text.append(word, ' ');
  }
  return text;
}

// ------------------------------------------------------------------------------ images

async function inflate(map) {
  const stream = new Blob([bytes(map.bytes)]).stream().pipeThrough(new DecompressionStream('deflate'));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = map.width * map.height;
  return Float32Array.from({ length: count },
    (_, i) => map.start + map.unit * (((planes[i] | planes[count + i] << 8) << 16) >> 16));
}

function paint(canvas, values, map, colours) {
  canvas.width = map.width; canvas.height = map.height;
  const pixels = new ImageData(map.width, map.height);
  values.forEach((value, i) => {
    const level = 255 * (value - map.low) / (map.high - map.low);
    const from = 4 * Math.max(0, Math.min(255, Math.round(level)));
    pixels.data.set(colours.subarray(from, from + 4), 4 * i);
  });
  canvas.getContext('2d').putImageData(pixels, 0, 0);
}

async function card(method, map) {
  const canvas = make('canvas'), readout = make('div', { className: 'readout' });
  const photo = make('img', { className: 'photo', src: page.photos[state.row], alt: 'explained row' });
  const colours = bytes(page.colours[map.low < 0 ? 'signed' : 'unsigned']);
  const values = await inflate(map);
  paint(canvas, values, map, colours);
  canvas.style.opacity = at('opacity').value;
  const [across, along] = page.series ? ['channel', 'step'] : ['row', 'column'];
  canvas.onmousemove = (event) => {
    const x = Math.min(map.width - 1, Math.floor(event.offsetX / canvas.clientWidth * map.width));
    const y = Math.min(map.height - 1, Math.floor(event.offsetY / canvas.clientHeight * map.height));
    readout.textContent = `${across} ${Math.max(0, y) * map.steps[0]}, ${along} ${Math.max(0, x) * map.steps[1]}: ${signed(values[Math.max(0, y) * map.width + Math.max(0, x)])}`;
  };
  canvas.onmouseleave = () => { readout.textContent = ''; };
  const ramp = make('canvas', { className: 'ramp' });
  const steps = Float32Array.from({ length: 256 }, (_, i) => map.low + (map.high - map.low) * i / 255);
  paint(ramp, steps, { ...map, width: 256, height: 1 }, colours);
  const ends = make('div', { className: 'legend' }, make('span', { textContent: digits(map.low) }),
    make('span', { textContent: digits(map.high) }));
  const [down, right] = map.steps;
  const small = down * right > 1 ? ` (means of ${down}×${right} places)` : '';
  const stack = make('div', { className: page.series ? 'stack series' : 'stack' }, photo, canvas);
  stack.style.aspectRatio = map.ratio;
  stack.style.width = `${Math.min(100, 200 * map.ratio)}%`;  // at most twice as high as the card
  return make('figure', {}, make('figcaption', { textContent: titled(method, state.row) + small }),
    stack, ramp, ends, readout);
}

let drawing = 0;
async function rowImages() {
  const mine = ++drawing, maps = page.maps[state.row];
  const cards = await Promise.all(page.methods.map((method, place) =>
    card(method, maps[place][Math.min(state.layer, maps[place].length - 1)])));
  if (mine === drawing) at('row').replaceChildren(make('div', { className: 'cards' }, ...cards));
}

// ------------------------------------------------------------------------------ all rows

function rowsTable() {
  const layer = current();
  const lines = page.rows.map((name, row) => {
    const cells = [{ key: name }, { key: outputOf(layer, row) },
      { key: layer.prediction[row], nodes: [plain(layer.prediction[row])] }];
    if (layer.values) {
      let top = 0;
      const size = (j) => Math.abs(layer.values[row * d + j]) || 0;
      for (let j = 1; j < d; j++) if (size(j) > size(top)) top = j;
      const names = page.words ? page.words[row] : page.features;
      cells.push({ key: names[top], nodes: [make('bdi', { textContent: names[top] }),
        ` ${signed(layer.values[row * d + top])}`] });
    }
    return { cells, pick: () => choose({ row }) };
  });
  page.lines = lines.slice();
  const heads = ['row', 'output', 'prediction', ...(layer.values ? ['largest attribution'] : [])];
  return table(heads, lines);
}

function featureTable() {
  const means = page.methods.map((method) => {
    const { values } = layerOf(method);
    return page.features.map((_, j) => {
      const sizes = Array.from({ length: n }, (_, i) => Math.abs(values[i * d + j]));
      const mean = sizes.reduce((a, b) => a + b, 0) / n;
      const spread = Math.sqrt(sizes.reduce((a, b) => a + (b - mean) ** 2, 0) / (n - 1) / n);
      return { mean, error: n > 1 ? spread : NaN };
    });
  });
  const sizes = means.map((list) => most(list.map(({ mean, error }) => reach(mean, error))));
  const lines = page.features.map((name, j) => ({
    j, cells: [{ key: name }, ...means.map((list, place) => {
      const { mean, error } = list[j];
      return { key: mean, nodes: number(mean, error, sizes[place], true), title: `${digits(mean, 7)} ± ${digits(error)} over rows` };
    })],
    pick: () => choose({ feature: j }),
  })).sort((a, b) => before(a.cells[1].key, b.cells[1].key, -1));
  page.first = lines[0].j;
  page.featureLines = lines.slice().sort((a, b) => a.j - b.j);
  return table(['feature', ...page.methods.map((m) => `mean |${titled(m)}|`)], lines);
}

// One feature's values and attributions: where dots lie, how they are drawn and found.
function scatter() {
  const canvas = at('scatter'), method = page.methods[Number(at('method').value) || 0];
  const layer = layerOf(method), j = state.feature;
  at('feature').textContent = page.features[j];
  const x = Array.from({ length: n }, (_, i) => data[i * d + j]);
  const y = Array.from({ length: n }, (_, i) => layer.values[i * d + j]);
  const known = x.map((v, i) => i).filter((i) => !Number.isNaN(x[i]) && !Number.isNaN(y[i]));
  const scale = window.devicePixelRatio, pen = canvas.getContext('2d');
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale; canvas.height = height * scale;
  pen.scale(scale, scale);
  const ink = getComputedStyle(document.body).color;
  Object.assign(pen, { fillStyle: ink, strokeStyle: ink, font: '12px system-ui, sans-serif' });
  if (!known.length) { pen.fillText('not one column of the table: nothing to draw', 10, 20); return; }
  const span = (list) => {
    const low = list.reduce((a, b) => Math.min(a, b)), high = list.reduce((a, b) => Math.max(a, b));
    return low < high ? [low, high] : [low - 1, high + 1];
  };
  const kinds = page.categories[j];
  const half = (i) => layer.errors && layer.errors[i * d + j] > 0 ? Z95 * layer.errors[i * d + j] : 0;
  const [left, right] = kinds ? [-.5, kinds.length - .5] : span(known.map((i) => x[i]));
  const [low, high] = span([0, ...known.flatMap((i) => [y[i] - half(i), y[i] + half(i)])]);
  // Names of categories stand upright where they do not fit beside each other, as many as fit.
  const names = kinds ? kinds.map((text) => text.length > 24 ? `${text.slice(0, 11)}…${text.slice(-12)}` : text) : [];
  const room = (width - 90) / names.length;
  const widest = most(names.map((text) => pen.measureText(text).width)), upright = widest + 6 > room;
  const foot = upright ? 24 + widest : 34;
  const px = (v) => 70 + (width - 90) * (v - left) / (right - left);
  const py = (v) => height - foot - (height - foot - 16) * (v - low) / (high - low);
  pen.textAlign = 'right';
  for (const v of new Set([low, 0, high])) pen.fillText(digits(v), 62, py(v) + 4);
  pen.globalAlpha = .5; pen.fillRect(66, py(0), width - 76, 1); pen.globalAlpha = 1;
  pen.textAlign = 'center';
  const every = Math.ceil(14 / room);
  names.forEach((text, v) => {
    if (!upright) return pen.fillText(text, px(v), height - 14);
    if (v % every) return;
    pen.save(); pen.textAlign = 'right';
    pen.translate(px(v) + 4, height - foot + 12); pen.rotate(-Math.PI / 2);
    pen.fillText(text, 0, 0); pen.restore();
  });
  if (!kinds) for (const v of [left, (left + right) / 2, right]) pen.fillText(plain(v), px(v), height - 14);
  for (const i of known) {
    pen.fillStyle = y[i] < 0 ? BLUE : RED;
    const error = half(i);
    pen.globalAlpha = .4;
    if (error > 0) pen.fillRect(px(x[i]), py(y[i] + error), 1, py(y[i] - error) - py(y[i] + error));
    pen.globalAlpha = .8;
    pen.beginPath(); pen.arc(px(x[i]), py(y[i]), 3, 0, 7); pen.fill();
    if (i === state.row) { pen.globalAlpha = 1; pen.beginPath();
      pen.arc(px(x[i]), py(y[i]), 6, 0, 7); pen.stroke(); }
  }
  const nearest = (event) => {
    const gap = (i) => (px(x[i]) - event.offsetX) ** 2 + (py(y[i]) - event.offsetY) ** 2;
    const best = known.reduce((a, b) => gap(b) < gap(a) ? b : a);
    return gap(best) < 400 ? best : null;
  };
  const tip = at('tip');
  const [across, along] = page.series ? ['channel', 'step'] : ['row', 'column'];
  canvas.onmousemove = (event) => {
    const i = nearest(event);
    tip.hidden = i === null;
    if (i === null) return;
    tip.textContent = `${page.rows[i]}\n${page.features[j]} = ${cell(i, j)}\n${told(layer, i, j)}`;
    tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - 200)}px`;
    tip.style.top = `${event.clientY + 14}px`;
  };
  canvas.onmouseleave = () => { tip.hidden = true; };
  canvas.onclick = (event) => { const i = nearest(event); if (i !== null) choose({ row: i }); };
}

// ------------------------------------------------------------------------------ together

function showRow() {
  const { row } = state, layer = current();
  at('name').textContent = page.rows[row];
  const base = Number.isNaN(layer.base[row]) ? '' : `, base value ${plain(layer.base[row])}`;
  const unit = layer.unit && ` (${layer.unit})`;
  at('state').textContent = `${outputOf(layer, row)}: prediction ${plain(layer.prediction[row])}${base}${unit}`;
  if (page.photos) rowImages();
  else at('row').replaceChildren(...(page.words ? [rowWords()] : []), rowTable());
  page.lines.forEach((line, i) => line.node.toggleAttribute('aria-current', i === row));
}

function showAll() {
  at('rows').replaceChildren(rowsTable());
  if (page.global) at('features').replaceChildren(featureTable());
}

function choose(change) {
  const layers = 'layer' in change;
  Object.assign(state, change);
  if (layers) showAll();
  if (layers || 'row' in change) showRow();
  if (page.global) {
    page.featureLines.forEach((line, j) => line.node.toggleAttribute('aria-current', j === state.feature));
    scatter();
  }
}

page.global = !page.photos && !page.words && n > 1 && page.perRow;
at('all').hidden = n < 2;
at('step').hidden = n < 2;
at('global').hidden = !page.global;
at('sight').hidden = !page.photos;
at('grey').parentNode.hidden = page.series;
const names = current() && page.methods[0].layers.map((layer) => layer.label);
at('outputs').hidden = names.length < 2;
at('output').append(...names.map((text, value) => make('option', { value, textContent: text })));
at('output').onchange = () => choose({ layer: Number(at('output').value) });
at('method').append(...page.methods.map((m, value) => make('option', { value, textContent: m.name })));
at('method').onchange = () => choose({});
at('method').hidden = page.methods.length < 2;
const step = (by) => choose({ row: (state.row + by + n) % n });
at('back').onclick = () => step(-1);
at('next').onclick = () => step(1);
at('opacity').oninput = () => {
  for (const canvas of document.querySelectorAll('.stack canvas')) canvas.style.opacity = at('opacity').value;
};
at('grey').onchange = () => at('row').classList.toggle('grey', at('grey').checked);
window.onresize = () => page.global && scatter();
if (page.global) {
  showAll();
  state.feature = page.first;
}
choose({ layer: 0 });
