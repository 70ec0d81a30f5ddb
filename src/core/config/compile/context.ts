import { resolve } from 'node:path';
import type { CheckedFile } from '../checked-file.ts';
import type { Path } from '../problem.ts';
import type { ReadFile } from '../read-file.ts';
import type { idpsSchema } from '../schema/idps.ts';
import type { routesSchema } from '../schema/routes.ts';
import type { settingsSchema } from '../schema/settings.ts';
import type { TlsSettings } from '../types-store.ts';

/** The checked files and what compiling needs besides. */
export type CompileContext = {
  readonly settings: CheckedFile<typeof settingsSchema>;
  readonly idps: CheckedFile<typeof idpsSchema>;
  readonly routes: CheckedFile<typeof routesSchema>;
  /** Relative file names are taken from here. */
  readonly directory: string;
  readonly readFile: ReadFile;
};

/** The part of a checked file that reports. */
export type Reporter = Pick<CheckedFile<typeof settingsSchema>, 'fail' | 'warn'>;

const PEM_FILE_MAX_BYTES = 262_144;

type TlsFiles = {
  readonly ca_file?: string | undefined;
  readonly cert_file?: string | undefined;
  readonly key_file?: string | undefined;
  readonly server_name?: string | undefined;
};

/** Read the PEM files of a `tls` map; unreadable ones and a certificate without its key are problems. */
export function compileTls(context: CompileContext, reporter: Reporter, path: Path, tls: TlsFiles): TlsSettings {
  const read = (key: 'ca_file' | 'cert_file' | 'key_file'): string | undefined => {
    const name = tls[key];
    return name === undefined ? undefined : readPem(context, reporter, [...path, key], name);
  };
  if ((tls.cert_file === undefined) !== (tls.key_file === undefined)) {
    const present = tls.cert_file === undefined ? 'key_file' : 'cert_file';
    const absent = tls.cert_file === undefined ? 'cert_file' : 'key_file';
    reporter.fail([...path, present], `stands without ${absent}`, 'both or none', `add ${absent}`);
  }
  return { ca: read('ca_file'), cert: read('cert_file'), key: read('key_file'), serverName: tls.server_name };
}

function readPem(context: CompileContext, reporter: Reporter, path: Path, name: string): string | undefined {
  const file = context.readFile(resolve(context.directory, name), PEM_FILE_MAX_BYTES);
  const expected = 'a readable PEM file';
  if (file.bytes === undefined) {
    reporter.fail(path, `the file {value} ${file.problem}`, expected, 'create the file or correct its path');
    return undefined;
  }
  const pem = file.bytes.toString('latin1');
  if (!pem.includes('-----BEGIN '))
    reporter.fail(path, 'the file {value} holds no PEM block', expected, 'name a PEM file');
  return pem;
}
