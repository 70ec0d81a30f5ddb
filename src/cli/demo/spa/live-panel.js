import { client, Problem } from './client.js';
import { byId, describeProblem, make } from './dom.js';

const SAMPLE_BYTES = 8 * 1024 * 1024;

let stream;
let socket;

/** Wires upload, event stream and WebSocket; `onSessionEnd` runs when the server ends a socket with its session. */
export function startLivePanel(onSessionEnd) {
  byId('upload-sample').addEventListener('click', () => upload(new Blob([new Uint8Array(SAMPLE_BYTES)])));
  byId('upload-file').addEventListener('change', ({ target }) => target.files[0] && upload(target.files[0]));
  byId('stream-toggle').addEventListener('click', () => (stream === undefined ? openStream() : stream.abort()));
  byId('socket-toggle').addEventListener('click', () =>
    socket === undefined ? openSocket(onSessionEnd) : socket.close(1000),
  );
  byId('socket-send').addEventListener('submit', (event) => {
    event.preventDefault();
    const field = byId('socket-text');
    if (socket?.readyState === WebSocket.OPEN && field.value !== '') socket.send(field.value);
    field.value = '';
  });
}

async function upload(blob) {
  const bar = byId('upload-bar');
  bar.hidden = false;
  bar.max = blob.size;
  bar.value = 0;
  byId('upload-sample').disabled = true;
  say('upload', 'busy', 'sending');
  try {
    const { body } = await client.upload('/upload', blob, {
      onProgress: (sent) => {
        bar.value = sent;
        say('upload', 'busy', `${Math.floor((sent / Math.max(1, blob.size)) * 100)} % sent`);
      },
    });
    say('upload', 'good', `${mebibytes(body.received)} arrived, SHA-256 ${body.sha256.slice(0, 12)}…`);
  } catch (problem) {
    fail('upload', problem);
  } finally {
    byId('upload-sample').disabled = false;
    byId('upload-file').value = '';
  }
}

async function openStream() {
  stream = new AbortController();
  byId('stream-toggle').textContent = 'Stop';
  say('stream', 'busy', 'connecting');
  try {
    await client.events('/events', {
      signal: stream.signal,
      onEvent: ({ data }) => {
        const { count, subject } = JSON.parse(data);
        say('stream', 'busy', `open · event ${count} for ${subject}`);
      },
    });
    say('stream', '', 'closed');
  } catch (problem) {
    fail('stream', problem);
  } finally {
    stream = undefined;
    byId('stream-toggle').textContent = 'Open';
  }
}

function openSocket(onSessionEnd) {
  const list = byId('socket-log');
  list.replaceChildren();
  say('socket', 'busy', 'connecting');
  byId('socket-toggle').textContent = 'Close';
  socket = client.socket('/echo-socket', { onSessionEnd });
  socket.addEventListener('open', () => {
    say('socket', 'busy', 'open');
    byId('socket-send').hidden = false;
    byId('socket-text').focus();
  });
  socket.addEventListener('message', ({ data }) => {
    list.append(make('li', {}, String(data)));
    while (list.children.length > 5) list.firstElementChild.remove();
  });
  socket.addEventListener('close', ({ code, reason }) => {
    socket = undefined;
    byId('socket-toggle').textContent = 'Open';
    byId('socket-send').hidden = true;
    say('socket', code === 4401 ? 'bad' : '', `closed · ${code}${reason === '' ? '' : ` ${reason}`}`);
  });
}

function fail(name, problem) {
  if (!(problem instanceof Problem)) throw problem;
  say(name, 'bad', '');
  byId(`${name}-state`).replaceChildren(...describeProblem(problem));
}

function say(name, className, text) {
  const line = byId(`${name}-state`);
  line.className = `state ${className}`;
  line.textContent = text;
}

function mebibytes(bytes) {
  return bytes < 1_048_576 ? `${bytes} bytes` : `${(bytes / 1_048_576).toFixed(1)} MiB`;
}
