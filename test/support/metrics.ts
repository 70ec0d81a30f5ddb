import assert from 'node:assert/strict';

/**
 * A number of the metrics page on an admin listener: `name` alone is summed over its labels, with labels it is one line.
 * @throws AssertionError for a name that is not there: a misspelt one must not read as 0.
 */
export async function readMetric(adminPort: number, name: string): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const lines = page.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  assert.ok(lines.length > 0, `no metric ${name}`);
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
