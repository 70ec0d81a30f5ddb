import { startApiPanel } from './api-panel.js';
import { runChecks } from './checks.js';
import { client, loginUrl, Problem } from './client.js';
import { clearClocks, setClock, startClocks } from './countdown.js';
import { byId, make, showNotice } from './dom.js';
import { startLivePanel } from './live-panel.js';

/** Reads the session and shows it. A failed look keeps what is on the page and says what went wrong. */
async function refresh() {
  try {
    const session = await client.session();
    showNotice(undefined);
    if (session.authenticated) {
      showSignedIn(session);
    } else {
      showSignedOut(session);
    }
  } catch (problem) {
    if (!(problem instanceof Problem)) {
      throw problem;
    }
    byId('loading').hidden = true;
    showNotice(problem, refresh);
  }
}

function showSignedOut(session) {
  clearClocks();
  byId('sign-in').href = loginUrl(session.login_url);
  setState('signed-out');
}

function showSignedIn(session) {
  const user = session.user ?? {};
  const name = user.name ?? user.preferred_username ?? user.sub ?? 'Signed in';
  byId('user-name').textContent = name;
  byId('user-line').textContent = [user.email, `signed in at “${session.idp}”`].filter(Boolean).join(' · ');
  byId('avatar').textContent = initials(name);
  showClaims(user);
  const logout = new URL(session.logout_url ?? '/auth/logout', location.href);
  byId('sign-out').href = logout.href;
  logout.searchParams.set('everywhere', 'true');
  byId('sign-out-everywhere').href = logout.href;
  setClock('idle', session.expires_in);
  setClock('absolute', session.absolute_expires_in);
  setState('signed-in');
}

function showClaims(user) {
  const entries = Object.entries(user).flatMap(([name, value]) => [
    make('dt', {}, name),
    make('dd', { 'data-claim': name }, Array.isArray(value) ? value.join(', ') : String(value)),
  ]);
  byId('claims').replaceChildren(...entries);
}

function initials(name) {
  return name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => word.charAt(0).toUpperCase())
    .join('');
}

function setState(state) {
  document.body.dataset.state = state;
  byId('loading').hidden = true;
  byId('signed-out').hidden = state !== 'signed-out';
  byId('signed-in').hidden = state !== 'signed-in';
  for (const panel of document.querySelectorAll('[data-needs-session]')) {
    panel.hidden = state !== 'signed-in';
  }
}

startClocks(refresh);
startApiPanel(refresh);
startLivePanel(refresh);
for (const [id, everywhere] of [
  ['sign-out', false],
  ['sign-out-everywhere', true],
]) {
  byId(id).addEventListener('click', (event) => {
    event.preventDefault();
    client.signOut({ everywhere });
  });
}
addEventListener('session-missing', refresh);
// A page restored from the back-forward cache shows who was signed in when it was left.
addEventListener('pageshow', (event) => event.persisted && refresh());
addEventListener('online', refresh);
await Promise.all([refresh(), runChecks()]);
