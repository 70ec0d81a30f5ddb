import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { getPart } from '../../test/support/parts.ts';
import type { Lab } from './lab.ts';
import { askOnce } from './once.ts';
import { pickPorts, SERVER_CORE, startProgram, whenListening } from './process.ts';
import { CLIENT } from './provider.ts';
import { requestText } from './requests.ts';
import { callbackOf } from './sign-in.ts';
import type { OpenSubject } from './types.ts';

const MODULES = '/usr/lib/apache2/modules';
const LOADED = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'headers', 'rewrite', 'alias', 'auth_openidc'];

/**
 * Apache with mod_auth_openidc as the session check in process, its sessions in the lab's Redis, signed in by a real
 * code flow. All requests carry the one session: its cost does not depend on their number.
 */
export async function openApache(lab: Lab, requestsOf: (cookie: string) => readonly string[]): Promise<OpenSubject> {
  const folder = lab.subfolder('apache');
  const port = pickPorts(1);
  const file = join(folder, 'apache.conf');
  writeFileSync(join(folder, 'ok.txt'), '');
  // Its workers are not who we are, and must reach the file.
  for (const path of [lab.folder, folder]) chmodSync(path, 0o755);
  writeFileSync(file, configuration(lab, folder, port));
  const running = startProgram(getPart('apache2'), ['-D', 'FOREGROUND', '-d', folder, '-f', file], {
    core: SERVER_CORE,
  });
  await whenListening(port, running);
  try {
    const cookie = await signIn(lab, port);
    const requestsFile = lab.requests('apache', requestsOf(cookie));
    return { port, pids: [running.pid], requestsFile, close: running.stop };
  } catch (error) {
    await running.stop();
    throw error;
  }
}

async function signIn(lab: Lab, port: number): Promise<string> {
  const host = `127.0.0.1:${port}`;
  const begun = await askOnce(port, requestText('/verify', [['Accept', 'text/html']], host));
  const [target, cookie] = callbackOf(lab.provider, begun, 'u0');
  const finished = await askOnce(port, requestText(target, [['Accept', 'text/html'], cookie], host));
  const session = /mod_auth_openidc_session=[^;\n]+/.exec(finished.headers.get('set-cookie') ?? '')?.[0];
  if (session === undefined) throw new Error(`mod_auth_openidc did not sign in: ${finished.status}`);
  return session;
}

/** Threads for 64 connections; claims and the access token go to the program behind as headers, as Sallyport's do. */
function configuration(lab: Lab, folder: string, port: number): string {
  return `
${LOADED.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`).join('\n')}
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
PidFile ${folder}/apache.pid
DefaultRuntimeDir ${folder}
Mutex file:${folder}
${process.getuid?.() === 0 ? 'User www-data\nGroup www-data' : ''}
ErrorLog ${folder}/error.log
LogLevel error
StartServers 1
ServerLimit 1
ThreadsPerChild 128
ThreadLimit 128
MaxRequestWorkers 128
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 120
DocumentRoot ${folder}
OIDCProviderMetadataURL ${lab.provider.issuer}/.well-known/openid-configuration
OIDCClientID ${CLIENT.id}
OIDCClientSecret ${CLIENT.secret}
OIDCRedirectURI http://127.0.0.1:${port}/callback
OIDCCryptoPassphrase bench-passphrase
OIDCScope "openid profile email"
OIDCSSLValidateServer Off
OIDCCacheType redis
OIDCRedisCacheServer 127.0.0.1:${lab.redis.port}
OIDCSessionType server-cache
OIDCSessionInactivityTimeout 7200
OIDCPassClaimsAs headers
Alias /verify ${folder}/ok.txt
<Location />
  AuthType openid-connect
  Require valid-user
</Location>
`;
}
