/**
 * A service for proxies of streams: `node stream-service.ts PORT`. `/download?bytes=N` sends so much, `/upload` counts
 * what it gets, at most `?rate=` bytes a second, `/events` sends an event now and then, and WebSockets get an echo.
 */
import uWS, { type HttpRequest, type HttpResponse } from 'uWebSockets.js';

const BLOCK = new Uint8Array(262_144).fill(0x61);
const EVENT_MS = 1_000;
const RATE_LOOK_MS = 10;

function download(res: HttpResponse, req: HttpRequest): void {
  const total = Number(req.getQuery('bytes'));
  let isAborted = false;
  const send = (): boolean => {
    for (let ok = true; ok && !isAborted; ) {
      const at = res.getWriteOffset();
      const [isTaken, isDone] = res.tryEnd(BLOCK.subarray(0, Math.min(BLOCK.length, total - at)), total);
      if (isDone) return true;
      ok = isTaken;
    }
    return false;
  };
  res.onAborted(() => {
    isAborted = true;
  });
  // What was not taken is sent again from the offset.
  res.onWritable(() => send());
  res.cork(() => send());
}

function upload(res: HttpResponse, req: HttpRequest): void {
  const rate = Number(req.getQuery('rate') ?? 0);
  const startedAt = performance.now();
  let received = 0;
  let isOver = false;
  let isWaiting = false;
  res.onAborted(() => {
    isOver = true;
  });
  const isEarly = (): boolean => rate > 0 && (received / rate) * 1000 > performance.now() - startedAt;
  const wait = (): void => {
    isWaiting = !isOver && isEarly();
    if (isWaiting) setTimeout(wait, RATE_LOOK_MS);
    else if (!isOver) res.resume();
  };
  res.onData((chunk, isLast) => {
    received += chunk.byteLength;
    if (isLast) {
      isOver = true;
      // The next request on this connection must be read.
      if (isWaiting) res.resume();
      res.cork(() => res.end(JSON.stringify({ received })));
    } else if (!isWaiting && isEarly()) {
      isWaiting = true;
      res.pause();
      setTimeout(wait, RATE_LOOK_MS);
    }
  });
}

const streams = new Set<HttpResponse>();

function events(res: HttpResponse): void {
  res.onAborted(() => void streams.delete(res));
  res.cork(() => res.writeHeader('content-type', 'text/event-stream').write('data: first\n\n'));
  streams.add(res);
}

setInterval(() => {
  for (const res of streams) res.cork(() => res.write('data: a slow stream\n\n'));
}, EVENT_MS);

uWS
  .App()
  .get('/download', download)
  .post('/upload', upload)
  .get('/events', (res) => events(res))
  .ws('/*', {
    maxPayloadLength: 65_536,
    idleTimeout: 0,
    message: (socket, message, isBinary) => void socket.send(message, isBinary),
  })
  .listen('127.0.0.1', Number(process.argv[2]), (socket) => {
    if (socket === false) process.exitCode = 1;
  });
