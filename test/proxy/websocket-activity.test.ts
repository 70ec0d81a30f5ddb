// Whether what a WebSocket carries keeps its session from idling out (`counts_as_activity`).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import type { WebSocket } from 'ws';
import { until } from '../support/until.ts';
import { closeOf, type SocketWorld, startSocketWorld } from './websocket-world.ts';
import { call } from './world.ts';

const STEP_MS = 40_000;

describe('messages of a client', () => {
  let lab: SocketWorld;
  before(async () => {
    lab = await startSocketWorld({ settings: { session: { idle: '60s', absolute: '1h' } } });
  });
  after(() => lab?.close());

  const say = async (socket: WebSocket): Promise<void> => {
    const answer = once(socket, 'message');
    socket.send('x');
    await answer;
  };
  const isAlive = async (cookie: string): Promise<boolean> => {
    const path = '/api/auth/session?slide=false';
    const answer = await call({ port: lab.world.port, path, headers: { cookie } });
    return (JSON.parse(answer.body.toString()) as { authenticated: boolean }).authenticated;
  };

  test('extend the session on a route that counts them, and on no other; silence extends nothing', async () => {
    const [active, passive, silent] = [
      await lab.connect('/active', { cookie: lab.alice }),
      await lab.connect('/echo/x', { cookie: lab.bob }),
      await lab.connect('/active', { cookie: await lab.world.signIn('bob') }),
    ];
    const closes = [closeOf(passive), closeOf(silent)];
    let isOver = false;
    active.on('close', () => (isOver = true));
    for (let steps = 0; steps < 2; steps++) {
      lab.world.advanceMs(STEP_MS);
      await say(active);
      if (steps === 0) await say(passive);
      // The look at open sockets is once a second.
      if (steps === 0) await new Promise((resolve) => setTimeout(resolve, 2_500));
    }
    assert.deepEqual(await Promise.all(closes), ['4401 the session has ended', '4401 the session has ended']);
    assert.deepEqual([await isAlive(lab.alice), await isAlive(lab.bob)], [true, false]);
    await say(active);
    assert.equal(isOver, false);
    const end = closeOf(active);
    lab.world.advanceMs(2 * STEP_MS);
    assert.equal(await end, '4401 the session has ended');
    await until(async () => !(await isAlive(lab.alice)), 'the session is over');
  });
});
