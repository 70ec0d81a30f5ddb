import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { RequestContext } from '../../src/core/context.ts';
import { createKeyRing } from '../../src/core/crypto.ts';
import { createLog } from '../../src/core/log.ts';
import type { Session } from '../../src/core/services.ts';
import { compileSites } from '../../src/core/sites.ts';
import { compileTokenCookies } from '../../src/core/token-cookies.ts';
import { load, settings } from './config/support.ts';

const warnings: string[] = [];
const log = createLog({ level: 'warn' }, { write: (line: string) => void warnings.push(line) } as never);
const config = load({
  settings: settings(
    'token_cookies: {enabled: true, access_token: {domain: example.com}, refresh_token: {enabled: true, domain: example.com}}\nsession: {cookie: {same_site: strict, persistent: true}, absolute: 1h}\n',
  ),
});
const ring = createKeyRing([{ id: 'k1', secret: randomBytes(32) }]);
const cookies = compileTokenCookies(config, ring, log);
const site = compileSites(config).find('app.example.com');
assert.ok(cookies !== undefined && site !== undefined);

const session = (accessToken: string, tokenType = 'bearer') =>
  ({
    locator: 'l',
    lastSeenAt: 5,
    hot: {
      accessToken,
      tokenType,
      site: 'main',
      idp: 'main',
      principal: { subject: 's' },
      createdAt: 1,
      absoluteAt: 9,
      idleMs: 4,
    },
  }) as unknown as Session;
const asking = (cookie: string): RequestContext => Object.assign(new RequestContext(), { cookie });

test('attributes are those of the site, with the domain and path of the cookie', () => {
  const [access, refresh] = cookies.issue(site, session('token'), 'grant');
  assert.equal(
    access,
    'access_token=token; Domain=example.com; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=Strict',
  );
  assert.match(
    refresh ?? '',
    /^refresh_token=[\w-]+; Domain=example\.com; Max-Age=3600; Path=\/auth; HttpOnly; Secure; SameSite=Strict$/,
  );
});

test('a sign-out removes the variants with and without the domain, each at its path', () => {
  const removed = cookies.expired(site).map((line) => line.replace(/ Max-Age.*GMT;/, ''));
  assert.deepEqual(removed, [
    'access_token=; Domain=example.com; Path=/; HttpOnly; Secure; SameSite=Strict',
    'access_token=; Path=/; HttpOnly; Secure; SameSite=Strict',
    'refresh_token=; Domain=example.com; Path=/auth; HttpOnly; Secure; SameSite=Strict',
    'refresh_token=; Path=/auth; HttpOnly; Secure; SameSite=Strict',
  ]);
});

test('what is too large or no cookie value is removed instead of sent, and said once', () => {
  const largest = 'x'.repeat(4096 - 'access_token='.length);
  assert.match(cookies.issue(site, session(largest), undefined)[0] ?? '', /^access_token=x/);
  for (const token of [`${largest}x`, 'a;b', 'a b', 'a"b', 'a,b']) {
    const lines = cookies.issue(site, session(token), undefined);
    assert.ok(
      lines.every((line) => line.includes('=; ') && line.includes('Max-Age=0')),
      token,
    );
    assert.equal(cookies.isCurrent(asking(''), '/', session(token)), true, 'no answer says it again and again');
    assert.equal(cookies.isCurrent(asking('access_token=old'), '/', session(token)), false);
  }
  assert.equal(warnings.length, 1);
  assert.ok(!(warnings[0] ?? '').includes('xxx'), 'the log holds no token');
});

test('a token that is bound to a key is worth nothing in a cookie and is not sent', () => {
  assert.ok(cookies.issue(site, session('token', 'DPoP'), 'grant').every((line) => line.includes('Max-Age=0')));
});

test('a refresh cookie opens to what was sealed, for its own site alone, and only whole', () => {
  const [, line = ''] = cookies.issue(site, session('token'), 'grant');
  const value = line.slice('refresh_token='.length, line.indexOf(';'));
  assert.ok(!Buffer.from(value, 'base64url').includes('grant'));
  const grant = cookies.findGrant(asking(`refresh_token=${value}`), site);
  assert.deepEqual([grant?.refreshToken, grant?.locator, grant?.savedAt], ['grant', 'l', 5]);
  assert.equal(cookies.findGrant(asking(`refresh_token=${value}; refresh_token=x`), site), undefined);
  assert.equal(cookies.findGrant(asking(`refresh_token=${value.slice(1)}`), site), undefined);
  assert.equal(cookies.findGrant(asking(''), site), undefined);
  const other = { ...site, site: { ...site.site, name: 'other' } };
  assert.equal(cookies.findGrant(asking(`refresh_token=${value}`), other), undefined);
});

test('whoever has the token already gets none, and only paths of the cookie can tell', () => {
  const has = (cookie: string, path = '/x'): boolean => cookies.isCurrent(asking(cookie), path, session('token'));
  assert.deepEqual([has('access_token=token'), has('access_token=old'), has('')], [true, false, false]);
  assert.equal(has('access_token=token; access_token=old'), false);
});
