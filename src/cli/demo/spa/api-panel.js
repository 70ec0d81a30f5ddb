import { client, Problem } from './client.js';
import { setClock } from './countdown.js';
import { byId, describeProblem, make } from './dom.js';

const IDENTITY = new Set(['authorization', 'x-auth-session']);

/** Wires the three buttons; `onAnswer` runs after each call, because a call may extend or reveal the end of the session. */
export function startApiPanel(onAnswer) {
  const call = async (path, options) => {
    setBusy(true);
    await showCall(path, options);
    setBusy(false);
    await onAnswer();
  };
  byId('call-get').addEventListener('click', () => call('/whoami', {}));
  byId('call-post').addEventListener('click', () => call('/echo', { method: 'POST', json: { message: 'Hello, API' } }));
  byId('call-reports').addEventListener('click', () => call('/reports/mine', {}));
}

function setBusy(busy) {
  for (const id of ['call-get', 'call-post', 'call-reports']) byId(id).disabled = busy;
}

async function showCall(path, options) {
  try {
    const { status, body } = await client.request(path, options);
    byId('api-result').replaceChildren(renderReport(status, body));
    if (typeof body?.token?.exp === 'number') {
      setClock('token', body.token.exp - Date.parse(body.at) / 1000);
    }
  } catch (problem) {
    if (!(problem instanceof Problem)) {
      throw problem;
    }
    const notice = make(
      'div',
      { class: 'notice', 'data-problem': String(problem.status) },
      ...describeProblem(problem),
    );
    byId('api-result').replaceChildren(make('div', { class: 'result' }, notice));
  }
}

function renderReport(status, report) {
  const verdict = report.token_valid
    ? make('span', { class: 'good' }, `token for ${report.token.aud} verified by the API`)
    : make('span', { class: 'bad' }, 'token not accepted');
  return make(
    'div',
    { class: 'result', 'data-status': String(status) },
    make('p', { class: 'status' }, `${status} · the API received ${report.method} ${report.path} · `, verdict),
    make('div', {}, make('h3', {}, 'Headers the API saw'), renderHeaders(report.headers)),
    make('div', {}, make('h3', {}, 'Claims of the token it got'), renderJson(report.token)),
    ...(report.body === undefined ? [] : [make('div', {}, make('h3', {}, 'Body it got'), renderJson(report.body))]),
  );
}

function renderHeaders(headers) {
  const all = Object.entries(headers);
  const identity = all.filter(([name]) => isIdentity(name));
  const others = all.filter(([name]) => !isIdentity(name));
  const summary = make('summary', {}, `${others.length} other headers`);
  return make('div', {}, renderTable(identity, 'identity'), make('details', {}, summary, renderTable(others, '')));
}

function renderTable(rows, className) {
  const table = make('table');
  for (const [name, value] of rows) {
    table.append(make('tr', { class: className }, make('th', { scope: 'row' }, name), make('td', {}, value)));
  }
  return make('div', { class: 'scroll' }, table);
}

function isIdentity(name) {
  return IDENTITY.has(name) || name.startsWith('x-user-');
}

function renderJson(value) {
  return make('pre', { tabindex: '0' }, typeof value === 'string' ? value : JSON.stringify(value, null, 2));
}
