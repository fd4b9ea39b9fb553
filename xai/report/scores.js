const value = (one) => one === null ? NaN : Number(one);
// Of what is infinite there is no part: others' bars are as if it were not there.
const sizes = {};
for (const { metric, mean, std_error } of page.lines) {
  const size = reach(value(mean), value(std_error));
  sizes[metric] = Math.max(sizes[metric] ?? 0, Number.isFinite(size) ? size : 0);
}
const signs = new Set(page.lines.filter(({ mean }) => value(mean) < 0).map(({ metric }) => metric));
// What scores of randomisation are read with.
const beside = ['faithfulness', 'floor']
  .filter((key) => page.lines.some((line) => line[key] !== null));

const lines = page.lines.map((line) => {
  const mean = value(line.mean), error = value(line.std_error);
  const whole = !signs.has(line.metric);
  const [low, high] = [value(line.low), value(line.high)];
  const interval = Number.isNaN(low) ? '' : `${digits(low)} … ${digits(high)}`;
  const beats = line.beats_random === null ? '' : line.beats_random ? 'yes' : 'no';
  return { cells: [
    { key: line.metric, nodes: [`${line.metric} ${line.better === 'higher' ? '↑' : '↓'}`],
      title: `${line.category}; ${line.better} is better` },
    { key: line.explanation, nodes: [line.control ? make('i', { textContent: line.explanation })
      : line.explanation] },
    { key: mean, nodes: number(mean, error, sizes[line.metric], whole, true),
      title: `${digits(mean, 7)} ± ${digits(error)}` },
    { key: low, nodes: [interval] }, { key: beats },
    ...beside.map((key) => value(line[key])).map((key) =>
      ({ key, nodes: [Number.isNaN(key) ? '' : digits(key)] })),
    { key: line.undefined },
    { key: line.evaluations }, { key: line.removal }, { key: line.output },
  ] };
});
at('scores').append(table(['metric', 'explanation', 'mean', '95 % interval', 'better than random',
  ...beside, 'undefined rows', 'model rows', 'removal', 'output'], lines));
