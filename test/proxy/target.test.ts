import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { publicLocation, targetOf } from '../../src/proxy/target.ts';

describe('the target sent to a service', () => {
  const cases = [
    { path: '/api/a', query: '', rewrite: undefined, sent: '/api/a' },
    { path: '/api/a%20b', query: 'x=1&y=%2F', rewrite: undefined, sent: '/api/a%20b?x=1&y=%2F' },
    { path: '/http:', query: 'u=http://evil.test', rewrite: undefined, sent: '/http:?u=http://evil.test' },
    {
      path: '/api/agents/7',
      query: '',
      rewrite: { prefix: '/api/agents', to: '/api/crud/agents' },
      sent: '/api/crud/agents/7',
    },
    { path: '/api/agents', query: 'q', rewrite: { prefix: '/api/agents', to: '/x' }, sent: '/x?q' },
    { path: '/api', query: '', rewrite: { prefix: '/api', to: '/' }, sent: '/' },
    { path: '/api/', query: '', rewrite: { prefix: '/api', to: '/' }, sent: '/' },
    { path: '/api/a', query: '', rewrite: { prefix: '/api', to: '/' }, sent: '/a' },
    { path: '/a', query: '', rewrite: { prefix: '/', to: '/x' }, sent: '/x/a' },
    { path: '/', query: '', rewrite: { prefix: '/', to: '/x' }, sent: '/x' },
    { path: '/a', query: '', rewrite: { prefix: '/', to: '/' }, sent: '/a' },
  ];
  for (const { path, query, rewrite, sent } of cases) {
    test(`is ${sent} for ${path}${query === '' ? '' : `?${query}`}`, () => {
      assert.equal(targetOf({ query }, path, rewrite), sent);
    });
  }
});

describe('the public form of a Location', () => {
  const origins = ['http://crud-a:8000', 'http://crud-b:8000'];
  const rewrite = { prefix: '/api/agents', to: '/v1' };
  const cases = [
    { location: 'http://crud-a:8000/v1/7?q=1#f', expected: '/api/agents/7?q=1#f' },
    { location: 'http://crud-b:8000/v1', expected: '/api/agents' },
    { location: 'http://crud-b:8000/v10', expected: '/v10' },
    { location: 'HTTP://CRUD-A:8000', expected: '/' },
    { location: 'http://crud-a:8000//evil.test/x', expected: '/evil.test/x' },
    { location: '//crud-a:8000/v1/7', expected: '/api/agents/7' },
    { location: '/v1/7', expected: undefined },
    { location: 'https://other.example.test/v1', expected: undefined },
    { location: 'http://crud-a:8000.evil.test/v1', expected: undefined },
    { location: 'http://crud-a:8001/v1', expected: undefined },
    { location: 'next', expected: undefined },
  ];
  for (const { location, expected } of cases) {
    test(`of ${location} is ${expected ?? 'left alone'}`, () => {
      assert.equal(publicLocation(location, origins, rewrite), expected);
    });
  }
});
