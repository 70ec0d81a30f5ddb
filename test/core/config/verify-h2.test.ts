import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { load, problemLines, SETTINGS } from './support.ts';

const tls = (name: string): string => readFileSync(join(import.meta.dirname, '../../fixtures/tls', name), 'utf8');
const files = {
  '/tls/cert.pem': tls('cert.pem'),
  '/tls/key.pem': tls('key.pem'),
  '/tls/other.pem': tls('other-key.pem'),
};
const settings = (listen: string): string => `${SETTINGS}listen:\n${listen}`;

describe('listen.verify_h2', () => {
  test('holds address, port, certificate and key; trusted_proxies may ask', () => {
    const { listen } = load({
      settings: settings('  verify_h2: {port: 8443, tls: {cert_file: /tls/cert.pem, key_file: /tls/key.pem}}\n'),
      files,
    });
    assert.deepEqual(listen.verifyH2, {
      address: '0.0.0.0',
      port: 8443,
      trustedPeers: 'proxies',
      tls: { cert: files['/tls/cert.pem'], key: files['/tls/key.pem'] },
    });
  });

  test('trusted_peers: all is a warning', () => {
    const { listen, warnings } = load({
      settings: settings(
        '  verify_h2: {port: 8443, trusted_peers: all, tls: {cert_file: /tls/cert.pem, key_file: /tls/key.pem}}\n',
      ),
      files,
    });
    assert.equal(listen.verifyH2?.trustedPeers, 'all');
    assert.ok(warnings.some((line) => line.includes('listen.verify_h2.trusted_peers: whoever reaches this port')));
  });

  for (const [why, text, line] of [
    ['a certificate is needed', '  verify_h2: {port: 8443}\n', 'settings.yaml:9:3 listen.verify_h2.tls: is missing'],
    [
      'the key of another certificate',
      '  verify_h2: {port: 8443, tls: {cert_file: /tls/cert.pem, key_file: /tls/other.pem}}\n',
      'settings.yaml:9:69 listen.verify_h2.tls.key_file: "/tls/other.pem" is not the key of the certificate',
    ],
    [
      'a key that is none',
      '  verify_h2: {port: 8443, tls: {cert_file: /tls/cert.pem, key_file: /tls/cert.pem}}\n',
      'settings.yaml:9:69 listen.verify_h2.tls.key_file: "/tls/cert.pem" is not the key of the certificate',
    ],
    [
      'the port of the public listener',
      '  verify_h2: {port: 8080, tls: {cert_file: /tls/cert.pem, key_file: /tls/key.pem}}\n',
      'settings.yaml:9:21 listen.verify_h2.port: the port of listen.public again',
    ],
  ] as const) {
    test(`${why} is refused`, () => {
      const lines = problemLines({ settings: settings(text), files });
      assert.equal(lines.length, 1, lines.join('\n'));
      assert.ok(lines[0]?.startsWith(line), lines[0]);
    });
  }
});

describe('workers', () => {
  const REDIS = 'store: {kind: redis, redis: {url: "redis://127.0.0.1"}}\n';
  for (const [text, workers] of [
    ['', 1],
    ['workers: 4\n', 4],
    ['workers: auto\n', 'auto'],
  ] as const) {
    test(`${text.trim() || 'nothing said'}: ${workers}`, () => {
      const config = load({ settings: SETTINGS + REDIS + text });
      assert.deepEqual([config.workers, config.scheduling], [workers, 'normal']);
    });
  }

  test('auto with the memory store is refused: what it means depends on the machine', () => {
    const lines = problemLines({ settings: `${SETTINGS}workers: auto\nscheduling: batch\n` });
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /store\.kind: the memory store serves one process, but workers is auto/);
  });
});
