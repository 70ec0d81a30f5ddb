import { decodeSealKey } from '../schema/seal-key.ts';
import type { SealKey } from '../types.ts';
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
