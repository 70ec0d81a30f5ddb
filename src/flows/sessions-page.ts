import type { PageRow } from '../core/pages.ts';
import type { Reply } from '../core/problem.ts';
import type { ListedSession, Session } from '../core/services.ts';
import type { FlowRequest, FlowServices } from './flow.ts';
import { FORM_TOKEN_FIELD, formToken } from './form-token.ts';

const MINUTE_MS = 60_000;

/** The page of a user's sessions: plain forms, so that it works without script. */
export function sessionsPage(
  { context, site }: FlowRequest,
  own: Session,
  sessions: readonly ListedSession[],
  services: FlowServices,
): Reply {
  const { auth } = services.config.paths;
  const token = { [FORM_TOKEN_FIELD]: formToken(services, 'sessions', own.locator) };
  const now = services.clock.now();
  const rows = sessions.map((listed): PageRow => {
    const isOwn = listed.publicId === own.publicId;
    return {
      title: listed.description?.device ?? 'Unknown device',
      ...(isOwn ? { mark: 'this browser' } : {}),
      details: detailsOf(listed, services, now),
      action: isOwn
        ? {
            kind: 'post',
            action: `${auth}/logout`,
            label: 'Sign out',
            fields: { [FORM_TOKEN_FIELD]: formToken(services, 'logout', own.locator) },
          }
        : {
            kind: 'post',
            action: `${auth}/sessions`,
            label: 'Sign out',
            fields: { ...token, session: listed.publicId },
          },
    };
  });
  return services.replies.page(
    site,
    200,
    {
      title: 'Where you are signed in',
      paragraphs: [`Signed in as ${own.hot.principal.username || own.hot.principal.subject}.`],
      rows,
      actions: [
        ...(sessions.length > 1
          ? [
              {
                kind: 'post',
                action: `${auth}/sessions`,
                label: 'Sign out all others',
                fields: { ...token, others: 'true' },
              } as const,
            ]
          : []),
        { kind: 'link', href: `${site.site.publicUrl}/`, label: 'Back' },
      ],
      note: `Times are UTC · request ${context.requestId}`,
    },
    [['vary', 'Cookie']],
  );
}

function detailsOf({ description, lastSeenAt }: ListedSession, { config }: FlowServices, now: number): string[] {
  const seen = `Last seen ${textOf(lastSeenAt)}${now - lastSeenAt < MINUTE_MS ? ', just now' : ''}`;
  if (description === undefined) return [seen];
  const { address, createdAt, idp, site } = description;
  const from = address === '' ? '' : ` from ${address}`;
  const where = config.sites.length > 1 ? ` · ${site}` : '';
  const by = config.idps.length > 1 ? ` · ${idp}` : '';
  return [`Signed in ${textOf(createdAt)}${from}${where}${by}`, seen];
}

/** Minutes suffice for a person to recognise a sign-in. */
function textOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace('T', ' ');
}
