/** Small helpers around the DOM. Text is always set as text: nothing that came from a server is parsed as HTML. */

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element with attributes and children (elements or strings). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Seconds as `1 h 05 m`, `4:09` or `0:31`. */
export function formatSeconds(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours > 0
    ? `${hours} h ${String(minutes).padStart(2, '0')} m`
    : `${minutes}:${String(whole % 60).padStart(2, '0')}`;
}

/** Shows a Problem at the top of the page with a button that calls `onRetry`; without a problem hides it. */
export function showNotice(problem, onRetry) {
  const notice = byId('notice');
  notice.hidden = problem === undefined;
  notice.className = 'notice';
  notice.replaceChildren();
  if (problem !== undefined) {
    const retry = make('button', { type: 'button', class: 'button' }, 'Try again');
    retry.addEventListener('click', onRetry);
    notice.append(...describeProblem(problem), retry);
  }
}

/** The lines that describe a Problem. */
export function describeProblem(problem) {
  const facts = [problem.status || undefined, problem.code, problem.requestId && `request ${problem.requestId}`];
  return [
    make('strong', {}, problem.message),
    make('p', {}, detailOf(problem)),
    make('p', { class: 'hint' }, facts.filter(Boolean).join(' · ')),
  ];
}

function detailOf({ status, detail, retryAfter }) {
  if (status === 0) return 'Either the demo was stopped or this device is offline. Nothing is lost: try again.';
  const wait = retryAfter === undefined ? '' : ` Try again in ${retryAfter} s; your session is kept.`;
  return `${detail || 'It gave no reason.'}${wait}`;
}
