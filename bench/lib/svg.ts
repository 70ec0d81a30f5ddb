import { spreadOf } from './stats.ts';
import type { Sample } from './types.ts';

const WIDTH = 880;
const LABEL_WIDTH = 250;
const VALUE_WIDTH = 70;
const ROW_HEIGHT = 26;
const TOP = 44;

/** A bar per subject: median CPU per request, with a line from the lowest to the highest round. Empty without samples. */
export function drawCpu(title: string, samples: readonly Sample[]): string {
  const names = [...new Set(samples.map(({ subject }) => subject))];
  if (names.length === 0) return '';
  const rows = names.map((name) => ({
    name,
    spread: spreadOf(samples.filter(({ subject }) => subject === name).map(({ cpuUs }) => cpuUs)),
  }));
  const most = Math.max(...rows.map(({ spread }) => spread.high));
  const scale = (value: number): number => (value / most) * (WIDTH - LABEL_WIDTH - VALUE_WIDTH);
  const bars = rows.map(({ name, spread }, at) => {
    const y = TOP + at * ROW_HEIGHT;
    const x = (value: number): string => (LABEL_WIDTH + scale(value)).toFixed(1);
    const middle = y + 9;
    return [
      `<text x="${LABEL_WIDTH - 8}" y="${y + 13}" text-anchor="end">${escapeText(name)}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${scale(spread.value).toFixed(1)}" height="18" fill="#4878a8"/>`,
      `<path d="M${x(spread.low)} ${middle}H${x(spread.high)}" stroke="#1a1a1a" stroke-width="2"/>`,
      `<text x="${(LABEL_WIDTH + scale(spread.high) + 6).toFixed(1)}" y="${y + 13}">${spread.value.toFixed(1)}</text>`,
    ].join('');
  });
  const height = TOP + names.length * ROW_HEIGHT + 12;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="12" y="24" font-size="15">${escapeText(title)}: server CPU per request, µs</text>
${bars.join('\n')}
</svg>
`;
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
