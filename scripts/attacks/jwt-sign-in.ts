import { type Instance, ISSUER } from './instance.ts';
import type { JwtWorld } from './jwt-world.ts';
import type { Lab } from './lab.ts';
import type { Exchange } from './raw-client.ts';
import { beginLogin, callbackRequest } from './sign-in.ts';

/** A sign-in to which the token endpoint answers what `answerOf` makes of its nonce: the callback, and what came back. */
export async function signInWith(
  lab: Lab,
  { world, instance, query = '' }: { readonly world: JwtWorld; readonly instance: Instance; readonly query?: string },
  answerOf: (nonce: string) => object | Promise<object>,
): Promise<{ readonly request: Buffer; readonly exchange: Exchange }> {
  const { pending, exchange: begun } = await beginLogin(lab.world, instance, query);
  if (pending === undefined) throw new Error(`no login: ${begun.bytes.toString('latin1').slice(0, 300)}`);
  const usual = { access_token: 'an-access-token-of-the-runner', token_type: 'Bearer', expires_in: 3_600 };
  world.answerTokens({ ...usual, ...(await answerOf(pending.nonce ?? '')) });
  const request = callbackRequest(pending, ISSUER);
  return { request, exchange: await instance.send(request, lab.world.strangerAddress(instance)) };
}
