import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileAddressMatcher } from '../../src/core/address.ts';
import type { BindingSettings } from '../../src/core/config/types.ts';
import { RequestContext } from '../../src/core/context.ts';
import { compileSessionBinding } from '../../src/core/session-binding.ts';
import { load, settings, testRefusals } from './config/support.ts';

const off: BindingSettings = { certificate: false, agent: false, address: undefined };
const compile = (different: Partial<BindingSettings>) =>
  compileSessionBinding({
    settings: { ...off, ...different },
    trusted: compileAddressMatcher(['127.0.0.1/32']),
    sessions: { replace: async () => {} },
    audit: () => {},
  });
const request = (fields: Partial<RequestContext>): RequestContext => Object.assign(new RequestContext(), fields);

test('tied to nothing, there is nothing to check', () => {
  assert.equal(compile({}), undefined);
});

test('a session from before the setting counts no more, whichever of the three was turned on', () => {
  const all = { certificate: true, agent: true, address: { v4Bits: 24, v6Bits: 56 } };
  for (const [name, value] of Object.entries(all)) {
    const binding = compile({ [name]: value });
    assert.equal(binding?.findMismatch(undefined, request({})), 'binding_absent', name);
    assert.equal(binding?.findMismatch({}, request({})), 'binding_absent', name);
  }
});

test('a prefix of no bits is every address of its family, and one of all bits a single address', () => {
  const peer = (text: string) => request({ peer: Uint8Array.from(text.split('.').map(Number)) });
  const wide = compile({ address: { v4Bits: 0, v6Bits: 0 } });
  assert.equal(wide?.findMismatch({ address: '192.0.2.1' }, peer('10.0.0.1')), undefined);
  assert.equal(wide?.findMismatch({ address: '2001:db8::1' }, peer('10.0.0.1')), 'binding_address');
  const odd = compile({ address: { v4Bits: 23, v6Bits: 61 } });
  assert.equal(odd?.findMismatch({ address: '192.0.2.1' }, peer('192.0.3.255')), undefined);
  assert.equal(odd?.findMismatch({ address: '192.0.2.1' }, peer('192.0.4.0')), 'binding_address');
  const exact = compile({ address: { v4Bits: 32, v6Bits: 128 } });
  assert.equal(exact?.findMismatch({ address: '192.0.2.1' }, peer('192.0.2.1')), undefined);
  assert.equal(exact?.findMismatch({ address: '192.0.2.1' }, peer('192.0.2.0')), 'binding_address');
});

test('a browser is known by the last name that it gives itself', () => {
  const binding = compile({ agent: true });
  const familyOf = (userAgent: string) => binding?.describe(request({ userAgent })).agent;
  const webkit = 'Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko)';
  assert.deepEqual(
    [
      `${webkit} Version/26.0 Safari/605.1.15`,
      `${webkit} CriOS/150.0 Mobile/15E148 Safari/604.1`,
      `${webkit} Chrome/150.0.0.0 Safari/537.36 OPR/120.0`,
      'SomeTool/1.2 (x)',
      '',
    ].map(familyOf),
    ['safari', 'chrome', 'opera', 'sometool', ''],
  );
});

const REDIS_FREE = 'session: {binding: {client_certificate: thumbprint, ip: {v4: 24, v6: 56}}}\n';

testRefusals([
  {
    name: 'a certificate that no gateway could send',
    sources: { settings: settings('session: {binding: {client_certificate: thumbprint}}\n') },
    lines: [
      'settings.yaml:8:41 session.binding.client_certificate: "thumbprint", but certificates come from a gateway alone, expected the gateway in trusted_proxies, add trusted_proxies',
    ],
  },
  {
    name: 'a listener that would believe anybody',
    sources: {
      settings: settings(
        `trusted_proxies: [10.0.0.1]\nlisten: {verify: {port: 8081, trusted_peers: all}}\n${REDIS_FREE}`,
      ),
    },
    lines: [
      'settings.yaml:9:46 listen.verify.trusted_peers: "all" with session.binding: certificate and address are believed of trusted_proxies alone, expected proxies, change it',
    ],
  },
]);

test('the settings compile, and a browser family alone is warned about', () => {
  const { session, warnings } = load({ settings: settings('session: {binding: {user_agent: family}}\n') });
  assert.deepEqual(session.binding, { certificate: false, agent: true, address: undefined });
  assert.match(warnings[0] ?? '', /^settings\.yaml:8:21 session\.binding\.user_agent: .*easily imitated/);
  const tied = load({ settings: settings(`trusted_proxies: [10.0.0.1]\n${REDIS_FREE}`) });
  assert.deepEqual(tied.session.binding, { certificate: true, agent: false, address: { v4Bits: 24, v6Bits: 56 } });
});
