const sizes = {};
for (const { metric, mean } of page.lines)
  sizes[metric] = Math.max(sizes[metric] ?? 0, Math.abs(mean ?? 0));
const signs = new Set(page.lines.filter(({ mean }) => mean < 0).map(({ metric }) => metric));
const value = (one) => one === null ? NaN : one;

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
    { key: mean, nodes: number(mean, error, sizes[line.metric], whole),
      title: `${digits(mean, 7)} ± ${digits(error)}` },
    { key: low, nodes: [interval] }, { key: beats }, { key: line.undefined },
    { key: line.evaluations }, { key: line.removal }, { key: line.output },
  ] };
});
at('scores').append(table(['metric', 'explanation', 'mean', '95 % interval', 'better than random',
  'undefined rows', 'model rows', 'removal', 'output'], lines));
