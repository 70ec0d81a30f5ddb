import { findKeyProblem, readPrivateKey } from '../../signing-keys.ts';
import { decodeSealKey } from '../schema/seal-key.ts';
import type { SealKey } from '../types.ts';
import type { SigningKey } from '../types-idp.ts';
import type { CompileContext } from './context.ts';

/** Decode the seal keys; ids and keys must differ, and none may have a default. */
export function compileSealKeys({ settings }: CompileContext): readonly SealKey[] {
  const keys: SealKey[] = [];
  for (const [index, input] of (settings.sections.keys?.seal ?? []).entries()) {
    const path = ['keys', 'seal', index];
    const secret = decodeSealKey(input.secret);
    if (settings.scalarAt([...path, 'secret'])?.hasDefault) {
      settings.fail([...path, 'secret'], 'a secret has a default', 'no ":-…" in the expression', 'remove the default');
    }
    if (keys.some((key) => key.id === input.id)) {
      settings.fail([...path, 'id'], '{value} names two keys', 'different ids', 'rename one');
    }
    const same = keys.find((key) => key.secret.equals(secret));
    if (same !== undefined) {
      settings.fail([...path, 'secret'], `{value} is the key ${same.id} again`, 'different keys', 'remove one');
    }
    keys.push({ id: input.id, secret });
  }
  return keys;
}

/** Check the signing keys: each usable with its algorithm, each `kid` once, none with a default. */
export function compileSigningKeys({ settings }: CompileContext): readonly SigningKey[] {
  const keys: SigningKey[] = [];
  for (const [index, { kid, alg, private_key: privateKey }] of (settings.sections.keys?.signing ?? []).entries()) {
    const path = ['keys', 'signing', index];
    if (settings.scalarAt([...path, 'private_key'])?.hasDefault) {
      const fix = 'remove the default';
      settings.fail([...path, 'private_key'], 'a secret has a default', 'no ":-…" in the expression', fix);
    }
    const problem = problemOfKey(privateKey, alg);
    if (problem !== undefined) {
      const expected = `a private key for ${alg}, PEM or JWK, not encrypted`;
      settings.fail([...path, 'private_key'], `the value ${problem}`, expected, 'name another key or algorithm');
    }
    if (keys.some((key) => key.kid === kid)) {
      settings.fail([...path, 'kid'], '{value} names two keys', 'different ids', 'rename one');
    }
    keys.push({ kid, alg, privateKey });
  }
  return keys;
}

function problemOfKey(text: string, alg: SigningKey['alg']): string | undefined {
  try {
    return findKeyProblem(readPrivateKey(text), alg);
  } catch {
    // What OpenSSL says about it helps nobody, and it is a secret.
    return 'cannot be read';
  }
}
