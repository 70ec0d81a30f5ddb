import { askOnce, type OnceAnswer } from './once.ts';
import type { BenchProvider } from './provider.ts';
import { type Header, requestText, SITE_HOST } from './requests.ts';

/**
 * Sign a user in at a Sallyport's public port as a browser would, without the pages of a provider.
 * @returns the session's handle.
 * @throws Error if a step is answered otherwise.
 */
export async function signIn(provider: BenchProvider, port: number, subject: string): Promise<string> {
  const begun = await askOnce(port, requestText('/auth/login', [], SITE_HOST));
  const [target, cookie] = callbackOf(provider, begun, subject);
  const finished = await askOnce(port, requestText(target, [cookie], SITE_HOST));
  const handle = /bff_session=([A-Za-z0-9_-]{43})/.exec(finished.headers.get('set-cookie') ?? '')?.[1];
  if (handle === undefined) throw new Error(`the sign-in ended with ${finished.status}: ${finished.body}`);
  return handle;
}

/** What a browser sends after the provider was content: the callback's target and the cookie of the transaction. */
export function callbackOf(provider: BenchProvider, begun: OnceAnswer, subject: string): readonly [string, Header] {
  const location = begun.headers.get('location');
  const cookie = begun.headers.get('set-cookie')?.split(';', 1)[0];
  if (location === undefined || cookie === undefined) throw new Error(`no sign-in begins: ${begun.status}`);
  const asked = new URL(location).searchParams;
  const code = provider.codeFor(subject, asked.get('nonce'));
  const query = new URLSearchParams({ code, state: asked.get('state') ?? '' });
  return [`${new URL(asked.get('redirect_uri') ?? '').pathname}?${query}`, ['Cookie', cookie]];
}
