import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createDeniedLog } from '../../src/core/denied-log.ts';

function start(perSecond: number) {
  const clock = { time: 1_000_000, now: () => clock.time };
  return { clock, log: createDeniedLog(perSecond, clock) };
}

describe('the log of refusals', () => {
  test('lets so many lines a second through and says how many it held back', () => {
    const { clock, log } = start(3);
    const admitted = Array.from({ length: 10 }, () => log.admit('access_denied'));
    assert.deepEqual(admitted.slice(0, 4), [0, 0, 0, undefined]);
    assert.equal(admitted.filter((value) => value !== undefined).length, 3);
    clock.time += 334;
    assert.equal(log.admit('access_denied'), 7);
    assert.equal(log.admit('access_denied'), undefined);
    clock.time += 334;
    assert.equal(log.admit('access_denied'), 1);
  });

  test('codes do not take each other’s place', () => {
    const { log } = start(1);
    assert.equal(log.admit('access_denied'), 0);
    assert.equal(log.admit('access_denied'), undefined);
    assert.equal(log.admit('untrusted_proxy'), 0);
  });

  test('a long silence saves up no more than one second’s lines', () => {
    const { clock, log } = start(2);
    log.admit('not_found');
    clock.time += 3_600_000;
    const admitted = Array.from({ length: 5 }, () => log.admit('not_found'));
    assert.deepEqual(admitted, [0, 0, undefined, undefined, undefined]);
  });

  test('a clock that is set back neither silences the log nor opens it', () => {
    const { clock, log } = start(2);
    log.admit('not_found');
    log.admit('not_found');
    clock.time -= 3_600_000;
    assert.equal(log.admit('not_found'), undefined);
    clock.time += 500;
    assert.equal(log.admit('not_found'), 1);
  });

  test('over a minute of flood the rate holds', () => {
    const { clock, log } = start(50);
    let lines = 0;
    let suppressed = 0;
    for (let i = 0; i < 60_000; i++) {
      clock.time += 1;
      const held = log.admit('authentication_required');
      if (held === undefined) continue;
      lines += 1;
      suppressed += held;
    }
    assert.ok(lines >= 3_000 && lines <= 3_050, `${lines} lines`);
    assert.ok(lines + suppressed > 59_900, 'what was held back is told');
  });
});
