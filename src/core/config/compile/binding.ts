import type { Settings } from '../schema/settings.ts';
import type { BindingSettings } from '../types.ts';
import type { CompileContext } from './context.ts';

/** `session.binding` compiled; what could never be met stops the start. */
export function compileBinding({ settings }: CompileContext, input: Settings['session']['binding']): BindingSettings {
  const { trusted_proxies: proxies, listen } = settings.sections;
  const certificate = input.client_certificate === 'thumbprint';
  const path = ['session', 'binding'];
  if (certificate && proxies?.length === 0) {
    const problem = '{value}, but certificates come from a gateway alone';
    settings.fail([...path, 'client_certificate'], problem, 'the gateway in trusted_proxies', 'add trusted_proxies');
  }
  const open = (['verify', 'verify_h2'] as const).find((name) => listen?.[name]?.trusted_peers === 'all');
  if (open !== undefined && (certificate || input.ip !== 'none')) {
    const at = ['listen', open, 'trusted_peers'];
    const problem = '{value} with session.binding: certificate and address are believed of trusted_proxies alone';
    settings.fail(at, problem, 'proxies', 'change it');
  }
  if (input.user_agent === 'family' && !certificate && input.ip === 'none') {
    const message = 'a browser family is easily imitated: it must not be the only thing that a stolen cookie meets';
    settings.warn([...path, 'user_agent'], message);
  }
  const address = input.ip === 'none' ? undefined : { v4Bits: input.ip.v4, v6Bits: input.ip.v6 };
  return { certificate, agent: input.user_agent === 'family', address };
}
