import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OidcInteraction, Provider } from 'oidc-provider';
import { sendHtml } from './html.ts';
import { BodyTooLargeError, readBody } from './http-server.ts';
import type { DemoUser } from './provider-config.ts';
import {
  consentPage,
  errorPage,
  PROVIDER_PAGE_HEADERS,
  PROVIDER_STYLE,
  PROVIDER_STYLE_PATH,
  signInPage,
} from './provider-pages.ts';

const FORM_MAX_BYTES = 4096;
const INTERACTION_PATH = /^\/interaction\/[\w-]+(?:\/(login|confirm|abort))?$/;

/** What the provider's pages need to know. */
export type InteractionOptions = {
  readonly users: readonly DemoUser[];
  /** Display names by client_id; a client without one is shown by its identifier. */
  readonly clientNames: ReadonlyMap<string, string>;
  /** Authentication context classes that a sign-in has if they are asked for. */
  readonly classes: readonly string[];
  /** True prints the users and their passwords below the sign-in form. */
  readonly showHints: boolean;
};

/**
 * Answers the sign-in and consent pages and their stylesheet. Resolves to false for every other address, which is
 * oidc-provider's own.
 */
export async function answerInteraction(
  provider: Provider,
  options: InteractionOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const [path = '/'] = (request.url ?? '/').split('?');
  if (path === PROVIDER_STYLE_PATH) {
    response.writeHead(200, { 'content-type': 'text/css; charset=utf-8', 'cache-control': 'no-store' });
    response.end(PROVIDER_STYLE);
    return true;
  }
  if (path === '/favicon.ico') {
    response.writeHead(204).end();
    return true;
  }
  const match = INTERACTION_PATH.exec(path);
  if (match === null) {
    return false;
  }
  try {
    const interaction = await provider.interactionDetails(request, response);
    await answer(provider, options, interaction, match[1], request, response);
  } catch (error) {
    if (error instanceof BodyTooLargeError) {
      throw error;
    }
    // The interaction's cookie is gone, or the interaction ended: nothing that this page could continue.
    sendPage(response, 400, errorPage('interaction_not_found', 'This sign-in has ended or was started elsewhere.'));
  }
  return true;
}

async function answer(
  provider: Provider,
  options: InteractionOptions,
  interaction: OidcInteraction,
  action: string | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'POST' || action === undefined) {
    showPrompt(options, interaction, response);
    return;
  }
  if (action === 'abort') {
    const result = { error: 'access_denied', error_description: 'The user declined' };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  } else if (action === 'login' && interaction.prompt.name === 'login') {
    await signIn(provider, options, interaction, request, response);
  } else if (action === 'confirm' && interaction.prompt.name === 'consent') {
    const result = { consent: { grantId: await saveGrant(provider, interaction) } };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
  } else {
    showPrompt(options, interaction, response);
  }
}

function showPrompt(options: InteractionOptions, interaction: OidcInteraction, response: ServerResponse): void {
  if (interaction.prompt.name === 'consent') {
    showConsent(options, interaction, response);
  } else {
    showSignIn(options, interaction, response, interaction.params['login_hint'] ?? '', false);
  }
}

function showConsent(options: InteractionOptions, interaction: OidcInteraction, response: ServerResponse): void {
  const user = options.users.find((candidate) => candidate.sub === interaction.session?.accountId);
  const view = {
    uid: interaction.uid,
    clientName: clientName(options, interaction),
    userName: user?.name ?? '',
    scopes: (interaction.params['scope'] ?? '').split(' '),
  };
  sendPage(response, 200, consentPage(view));
}

function showSignIn(
  options: InteractionOptions,
  interaction: OidcInteraction,
  response: ServerResponse,
  username: string,
  failed: boolean,
): void {
  const hints = options.showHints
    ? options.users.map((user) => `${user.username} / ${user.password} (${user.roles.join(', ')})`)
    : [];
  const view = { uid: interaction.uid, clientName: clientName(options, interaction), username, failed, hints };
  sendPage(response, failed ? 401 : 200, signInPage(view));
}

async function signIn(
  provider: Provider,
  options: InteractionOptions,
  interaction: OidcInteraction,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const form = new URLSearchParams((await readBody(request, FORM_MAX_BYTES)).toString('utf8'));
  const username = form.get('username') ?? '';
  const password = form.get('password') ?? '';
  const user = options.users.find((candidate) => candidate.username === username && candidate.password === password);
  if (user === undefined) {
    showSignIn(options, interaction, response, username, true);
    return;
  }
  const asked = (interaction.params['acr_values'] ?? '').split(' ');
  const acr = asked.find((value) => options.classes.includes(value));
  const result = { login: { accountId: user.sub, amr: ['pwd'], ...(acr !== undefined && { acr }) } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

async function saveGrant(provider: Provider, interaction: OidcInteraction): Promise<string> {
  const { details } = interaction.prompt;
  const existing = interaction.grantId === undefined ? undefined : await provider.Grant.find(interaction.grantId);
  const grant =
    existing ??
    new provider.Grant({
      accountId: interaction.session?.accountId ?? '',
      clientId: interaction.params['client_id'] ?? '',
    });
  grant.addOIDCScope((details.missingOIDCScope ?? []).join(' '));
  grant.addOIDCClaims(details.missingOIDCClaims ?? []);
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return grant.save();
}

function clientName(options: InteractionOptions, interaction: OidcInteraction): string {
  const clientId = interaction.params['client_id'] ?? '';
  return options.clientNames.get(clientId) ?? clientId;
}

function sendPage(response: ServerResponse, status: number, html: string): void {
  sendHtml(response, status, html, PROVIDER_PAGE_HEADERS);
}
