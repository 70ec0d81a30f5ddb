import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { getPart } from './parts.ts';

const run = promisify(execFile);

/** A certificate authority of its own, with a server certificate for loopback and a client certificate. */
export type TestCertificates = {
  readonly directory: string;
  /** Paths of PEM files. */
  readonly files: { readonly ca: string; readonly serverCert: string; readonly serverKey: string };
  /** PEM texts. */
  readonly ca: string;
  readonly clientCert: string;
  readonly clientKey: string;
  remove(): Promise<void>;
};

/** Make the certificates with openssl in a temporary directory; valid for one day. */
export async function createCertificates(): Promise<TestCertificates> {
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-tls-'));
  const at = (name: string) => join(directory, name);
  await openssl('req', '-x509', ...newKey(at('ca.key')), '-out', at('ca.pem'), '-days', '1', '-subj', '/CN=Test CA');
  await issue(at, 'server', 'subjectAltName=DNS:redis.test,IP:127.0.0.1\nextendedKeyUsage=serverAuth');
  await issue(at, 'client', 'extendedKeyUsage=clientAuth');
  const text = (name: string) => readFile(at(name), 'utf8');
  return {
    directory,
    files: { ca: at('ca.pem'), serverCert: at('server.pem'), serverKey: at('server.key') },
    ca: await text('ca.pem'),
    clientCert: await text('client.pem'),
    clientKey: await text('client.key'),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

async function issue(at: (name: string) => string, name: string, extensions: string): Promise<void> {
  await openssl('req', ...newKey(at(`${name}.key`)), '-out', at(`${name}.csr`), '-subj', `/CN=${name}`);
  await writeFile(at(`${name}.ext`), extensions);
  const signer = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'];
  const output = ['-out', at(`${name}.pem`), '-extfile', at(`${name}.ext`)];
  await openssl('x509', '-req', '-in', at(`${name}.csr`), ...signer, '-days', '1', ...output);
}

function newKey(path: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', path];
}

async function openssl(...args: string[]): Promise<void> {
  await run(getPart('openssl'), args);
}
