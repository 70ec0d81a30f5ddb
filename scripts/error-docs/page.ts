import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import { REMEDIES } from './remedies.ts';

const HEAD = `# Errors

Written by \`node scripts/generate-error-docs.ts\` from \`src/core/errors.ts\` and \`scripts/error-docs/remedies.ts\`; a test compares.

Every refusal has one of these codes. A script gets it as \`application/problem+json\` (RFC 9457):

\`\`\`json
{
  "type": "urn:sallyport:error:authentication_required",
  "title": "Authentication required",
  "status": 401,
  "code": "authentication_required",
  "detail": "Sign in to continue.",
  "request_id": "3wUSSJTl7",
  "login_url": "https://app.example.com/auth/login"
}
\`\`\`

\`login_url\` and \`retry_after\` (seconds, also the header \`Retry-After\`) are there where they help. A person gets a page with the same
code and a way on. \`request_id\` is also the header \`X-Request-Id\`; the log line with that id has the code as \`msg\` and the exact
\`reason\`, which no answer tells.
`;

/** The text of docs/errors.md. */
export function compileErrorPage(): string {
  const codes = Object.keys(ERRORS) as ErrorCode[];
  const rows = codes.map((code) => {
    const { status, detail, level } = ERRORS[code];
    const reserved = REMEDIES[code].isReserved ? ' (not produced by this version)' : '';
    return `| [${code}](#${code}) | ${status} | ${level} | ${detail}${reserved} | ${REMEDIES[code].fix} |`;
  });
  const table = ['| code | status | log level | meaning | what to do |', '|---|---|---|---|---|', ...rows].join('\n');
  return `${HEAD}\n${table}\n\n${codes.map(section).join('\n')}`;
}

function section(code: ErrorCode): string {
  const { status, title } = ERRORS[code];
  const { symptom, cause, fix, isReserved } = REMEDIES[code];
  const reserved = isReserved ? ' No part of this version produces it.' : '';
  const lines = [`- Symptom: ${symptom}`, `- Cause: ${cause}`, `- Fix: ${fix}`];
  return `## ${code}\n\n${status} ${title}.${reserved}\n\n${lines.join('\n')}\n`;
}
