import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { getPart } from '../../test/support/parts.ts';
import type { Lab } from './lab.ts';
import { pickPorts, SERVER_CORE, startProgram, whenListening } from './process.ts';
import type { OpenSubject } from './types.ts';

/** Where Debian puts nginx's modules and the Lua libraries that the Lua module needs. */
const MODULES = '/usr/lib/nginx/modules';
const LUA_PATH = '/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua';

/** What one nginx does. */
export type NginxOptions = {
  readonly requestsFile: string;
  /** Inside `http {}`, before the server. */
  readonly http?: string;
  /** Inside `server {}`. */
  readonly server: string;
  readonly lua?: boolean;
  readonly core?: number;
};

/** nginx in front of a service, connections kept; `more` are further directives of its location. */
export function proxyTo(port: number, more = ''): Pick<NginxOptions, 'http' | 'server'> {
  const kept = 'proxy_http_version 1.1; proxy_set_header Connection "";';
  return {
    http: `upstream service { server 127.0.0.1:${port}; keepalive 64; keepalive_requests 100000000; }`,
    server: `location / { proxy_pass http://service; ${kept} ${more} }`,
  };
}

/** One nginx with one worker, tuned as its manual says: no log, long keep-alive, a backlog that suffices. */
export async function openNginx(lab: Lab, options: NginxOptions): Promise<OpenSubject> {
  const folder = lab.subfolder('nginx');
  const port = pickPorts(1);
  const modules = options.lua === true ? ['ndk_http_module', 'ngx_http_lua_module'] : [];
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const text = `
${modules.map((name) => `load_module ${MODULES}/${name}.so;`).join('\n')}
worker_processes 1;
daemon off;
user ${process.getuid?.() === 0 ? 'root' : ''};
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 2048; }
http {
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 120s;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  ${options.lua === true ? `lua_package_path "${LUA_PATH};;";` : ''}
  ${options.http ?? ''}
  server {
    listen 127.0.0.1:${port};
    ${options.server}
  }
}
`;
  const file = join(folder, 'nginx.conf');
  writeFileSync(file, process.getuid?.() === 0 ? text : text.replace(/^user .*$/m, ''));
  const running = startProgram(getPart('nginx'), ['-p', folder, '-c', file], { core: options.core ?? SERVER_CORE });
  await whenListening(port, running);
  return { port, pids: [running.pid], requestsFile: options.requestsFile, close: running.stop };
}
