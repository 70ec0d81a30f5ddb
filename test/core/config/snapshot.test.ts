import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ConfigError } from '../../../src/core/config/load.ts';
import { loadAndRecord, loadSnapshot } from '../../../src/core/config/snapshot.ts';
import { ENVIRONMENT, IDPS } from './support.ts';

const SETTINGS = `version: 1
sites: {main: {public_url: https://app.example.com}}
keys: {seal: [{id: k1, secret: "\${SEAL}"}]}
verify: {shared_secret: "\${file:SECRET_FILE}"}
`;

describe('a recorded configuration', () => {
  let directory = '';
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
  const record = () => loadAndRecord({ directory, environment: ENVIRONMENT });
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-snapshot-'));
    write('settings.yaml', SETTINGS.replace('SECRET_FILE', join(directory, 'secret')));
    write('idps.yaml', IDPS);
    write('secret', 'a-shared-secret-of-32-characters!');
  });
  after(() => rmSync(directory, { recursive: true }));

  test('gives the same again when its files have changed, those behind ${file:} too', () => {
    const { config, snapshot } = record();
    write('secret', 'another-secret-of-32-characters!!');
    write('idps.yaml', 'nonsense');
    // As it arrives in another process.
    const arrived = structuredClone(snapshot);
    assert.deepEqual(loadSnapshot(arrived, ENVIRONMENT), config);
    assert.equal(config.verify.sharedSecret, 'a-shared-secret-of-32-characters!');
    write('idps.yaml', IDPS);
    const next = record();
    assert.equal(next.config.verify.sharedSecret, 'another-secret-of-32-characters!!');
    assert.notEqual(next.snapshot.version, snapshot.version);
  });

  test('has the same version for the same contents', () => {
    assert.equal(record().snapshot.version, record().snapshot.version);
  });

  test('knows that a file was absent', () => {
    const { snapshot } = record();
    write('routes.yaml', 'version: 1\nroutes: [{id: a, paths: [/a], auth: none}]\n');
    assert.equal(loadSnapshot(snapshot, ENVIRONMENT).routes.length, 0);
    assert.equal(record().config.routes.length, 1);
  });

  test('reads nothing that was not recorded', () => {
    const { snapshot } = record();
    assert.throws(() => loadSnapshot({ ...snapshot, files: [] }, ENVIRONMENT), ConfigError);
  });
});
