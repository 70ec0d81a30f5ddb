/** What Traefik tells verify of a GET for `uri` at this public address (scheme and host). */
export function asTraefik(publicUrl: string, uri: string): Record<string, string> {
  const { host, protocol } = new URL(publicUrl);
  return {
    'x-forwarded-host': host,
    'x-forwarded-method': 'GET',
    'x-forwarded-proto': protocol.slice(0, -1),
    'x-forwarded-uri': uri,
  };
}
