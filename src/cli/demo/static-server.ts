import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { PAGE_HEADERS } from './html.ts';
import { type RunningServer, startHttpServer } from './http-server.ts';

/** Folder of the demo application's files. */
const SPA_DIRECTORY: string = join(import.meta.dirname, 'spa');

/** The browser helper, which the application is served with. */
const HELPER = join(import.meta.dirname, '../../../client/sallyport-client.js');

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

type Asset = { readonly body: Buffer; readonly contentType: string };

/**
 * Serves the files of one folder, read once at start: a request is only ever compared with the names found then, so
 * no path can lead out of the folder; the browser helper is one more name. `/` is index.html; other names must match exactly, else 404. GET and HEAD only.
 * Every answer carries the page headers of the demo (CSP of SPEC §10, nosniff).
 * Errors: PortTakenError; file system errors of the folder.
 */
export async function startStaticServer(options: { port?: number; directory?: string }): Promise<RunningServer> {
  const assets = await loadAssets(options.directory ?? SPA_DIRECTORY);
  assets.set('/sallyport-client.js', { body: await readFile(HELPER), contentType: CONTENT_TYPES['.js'] ?? '' });
  return startHttpServer({
    port: options.port ?? 0,
    handler: (request, response) => serveAsset(assets, request, response),
  });
}

async function loadAssets(directory: string): Promise<Map<string, Asset>> {
  const assets = new Map<string, Asset>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const contentType = CONTENT_TYPES[extname(entry.name)];
    if (entry.isFile() && contentType !== undefined) {
      const file = join(entry.parentPath, entry.name);
      const name = `/${relative(directory, file).split(sep).join('/')}`;
      assets.set(name === '/index.html' ? '/' : name, { body: await readFile(file), contentType });
    }
  }
  return assets;
}

function serveAsset(assets: ReadonlyMap<string, Asset>, request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { ...PAGE_HEADERS, allow: 'GET, HEAD' }).end();
    return;
  }
  const [path = '/'] = (request.url ?? '/').split('?');
  const asset = assets.get(path);
  if (asset === undefined) {
    response.writeHead(404, { ...PAGE_HEADERS, 'content-type': 'text/plain; charset=utf-8' }).end('Not found\n');
    return;
  }
  const headers = {
    ...PAGE_HEADERS,
    'content-type': asset.contentType,
    'content-length': String(asset.body.length),
  };
  response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : asset.body);
}
