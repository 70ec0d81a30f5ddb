import { byId, formatSeconds } from './dom.js';

/**
 * The clocks of the session panel. They run on the page's monotonic clock from what the server last said, so a wrong
 * clock on the device does not matter.
 */
const clocks = new Map();

/** Sets how many seconds the clock `name` (`idle`, `absolute`, `token`) has left; its bar is full at the most ever seen. */
export function setClock(name, seconds) {
  const full = Math.max(seconds, clocks.get(name)?.full ?? 0);
  clocks.set(name, { endsAt: performance.now() + seconds * 1000, full });
  draw(name);
}

/** Forgets all clocks. */
export function clearClocks() {
  clocks.clear();
}

/** Redraws every second; calls `onEnd` once when the idle or the absolute clock reaches zero. */
export function startClocks(onEnd) {
  setInterval(() => {
    for (const name of clocks.keys()) {
      draw(name);
    }
    if (ended('idle') || ended('absolute')) {
      clearClocks();
      onEnd();
    }
  }, 1000);
}

function ended(name) {
  return clocks.has(name) && clocks.get(name).endsAt <= performance.now();
}

function draw(name) {
  const { endsAt, full } = clocks.get(name);
  const seconds = Math.max(0, (endsAt - performance.now()) / 1000);
  const bar = byId(`${name}-bar`);
  bar.hidden = false;
  bar.max = full;
  bar.value = seconds;
  byId(`${name}-left`).textContent = seconds === 0 ? 'ended' : `${formatSeconds(seconds)} left`;
}
