import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { LIMITS } from '../../src/core/limits.ts';
import { TelemetrySeries } from '../../src/core/telemetry-series.ts';
import { WorkerMetrics } from '../../src/worker-metrics.ts';

type Labels = Readonly<Record<string, string>>;

function createSeries(valuesMax = 50) {
  const registry = new Registry();
  const series = new TelemetrySeries(registry);
  return {
    registry,
    record: (name: string, value: number, labels: Labels = {}) =>
      series.record({ name, value, labels: new Map(Object.entries(labels)), masked: 0 }, valuesMax),
    async lines(prefix = 'sallyport_frontend_') {
      const page = await registry.metrics();
      return page.split('\n').filter((line) => line.startsWith(prefix));
    },
  };
}

describe('numbers of the front end', () => {
  test('are summed and counted by name and labels, whatever the order of the labels', async () => {
    const { record, lines } = createSeries();
    record('lcp', 100, { page: '/a', unit: 'ms' });
    record('lcp', 50.5, { unit: 'ms', page: '/a' });
    record('lcp', 7, { page: '/b' });
    record('cls', 0);
    assert.deepEqual(await lines(), [
      'sallyport_frontend_lcp_sum{page="/a",unit="ms"} 150.5',
      'sallyport_frontend_lcp_count{page="/a",unit="ms"} 2',
      'sallyport_frontend_lcp_sum{page="/b"} 7',
      'sallyport_frontend_lcp_count{page="/b"} 1',
      'sallyport_frontend_cls_sum 0',
      'sallyport_frontend_cls_count 1',
    ]);
  });

  test('have a bounded number of values for each label; further ones count as other', async () => {
    const { record, lines } = createSeries(2);
    for (const page of ['/a', '/b', '/c', '/d', '/a']) record('lcp', 1, { page });
    assert.deepEqual(await lines('sallyport_frontend_lcp_count'), [
      'sallyport_frontend_lcp_count{page="/a"} 2',
      'sallyport_frontend_lcp_count{page="/b"} 1',
      'sallyport_frontend_lcp_count{page="other"} 2',
    ]);
    assert.deepEqual(await lines('sallyport_telemetry_samples_total'), [
      'sallyport_telemetry_samples_total{outcome="counted"} 3',
      'sallyport_telemetry_samples_total{outcome="overflow"} 2',
    ]);
  });

  test('have a bounded number of labels; further ones are left out', async () => {
    const { record, lines } = createSeries();
    for (let n = 0; n <= LIMITS.telemetryLabelsMax; n += 1) record('lcp', 1, { [`label_${n}`]: 'x' });
    assert.equal((await lines('sallyport_frontend_lcp_count{')).length, LIMITS.telemetryLabelsMax);
    assert.deepEqual(await lines('sallyport_frontend_lcp_count '), ['sallyport_frontend_lcp_count 1']);
  });

  test('have a bounded number of series in all; what goes beyond is counted without labels', async () => {
    const { record, lines } = createSeries(10_000);
    for (let n = 0; n < LIMITS.telemetrySeriesMax + 5; n += 1) record('lcp', 2, { page: `p${n}` });
    const counts = await lines('sallyport_frontend_lcp_count');
    assert.equal(counts.length, LIMITS.telemetrySeriesMax + 1);
    assert.equal(counts.at(-1), 'sallyport_frontend_lcp_count{overflow="true"} 5');
    record('lcp', 2, { page: 'p0' });
    assert.ok((await lines()).includes('sallyport_frontend_lcp_sum{page="p0"} 4'), 'known series go on');
  });

  test('have a bounded number of names; samples of further ones are dropped and counted', async () => {
    const { record, lines } = createSeries();
    for (let n = 0; n < LIMITS.telemetryNamesMax + 3; n += 1) record(`name_${n}`, 1);
    assert.equal((await lines()).length, 2 * LIMITS.telemetryNamesMax);
    assert.ok((await lines('sallyport_telemetry')).includes('sallyport_telemetry_samples_total{outcome="dropped"} 3'));
  });

  test('of several workers become one page, in which no sum shrinks when a worker ends', async () => {
    const [a, b] = [createSeries(), createSeries()];
    a.record('lcp', 10, { page: '/a' });
    a.record('only_a', 1);
    b.record('lcp', 5, { page: '/a' });
    b.record('lcp', 3, { page: '/b' });
    const merged = new WorkerMetrics({
      workers: () => ({ configured: 2, up: 2 }),
      restarts: () => 0,
      reloads: { done: 0, refused: 0 },
    });
    const read = async () => {
      const page = await merged.exposition();
      return page
        .split('\n')
        .filter((line) => line.startsWith('sallyport_frontend_'))
        .sort();
    };
    for (const [index, { registry }] of [a, b].entries()) merged.note(index, await registry.getMetricsAsJSON());
    const both = await read();
    assert.deepEqual(both, [
      'sallyport_frontend_lcp_count{page="/a"} 2',
      'sallyport_frontend_lcp_count{page="/b"} 1',
      'sallyport_frontend_lcp_sum{page="/a"} 15',
      'sallyport_frontend_lcp_sum{page="/b"} 3',
      'sallyport_frontend_only_a_count 1',
      'sallyport_frontend_only_a_sum 1',
    ]);
    await merged.end(0);
    assert.deepEqual(await read(), both);
  });
});
