import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { SallyportError } from './errors.ts';

/** RFC 9110 §8.4.1. */
const DECODERS: Readonly<Record<string, (bytes: Buffer, options: { maxOutputLength: number }) => Buffer>> = {
  gzip: gunzipSync,
  'x-gzip': gunzipSync,
  deflate: inflateSync,
  br: brotliDecompressSync,
};

/** Nobody packs twice; each layer is unpacked in one turn of the event loop. */
const CODINGS_MAX = 2;

/**
 * The content of an answer without its codings: we ask for none, and some servers send one all the same.
 * @param fields header fields, names in lower case.
 * @param maxBytes bound of the content, whatever it was packed in.
 * @throws idp_bad_response above the bound and for an unknown coding; an error of zlib for bytes that are not what it says.
 */
export function decodeBody(bytes: Buffer, fields: readonly (readonly [string, string])[], maxBytes: number): Buffer {
  let content = bytes;
  if (content.length > maxBytes) throw tooLong(maxBytes);
  const codings = codingsOf(fields).reverse();
  if (codings.length > CODINGS_MAX) throw new SallyportError('idp_bad_response', { detail: 'packed too often' });
  for (const coding of codings) {
    if (coding === 'identity' || coding === '') continue;
    content = decodeOnce(content, coding, maxBytes);
  }
  return content;
}

/** In the order in which they were applied. */
function codingsOf(fields: readonly (readonly [string, string])[]): string[] {
  return fields
    .filter(([name]) => name === 'content-encoding')
    .flatMap(([, value]) => value.split(','))
    .map((coding) => coding.trim().toLowerCase());
}

function decodeOnce(bytes: Buffer, coding: string, maxBytes: number): Buffer {
  const decode = Object.hasOwn(DECODERS, coding) ? DECODERS[coding] : undefined;
  if (decode === undefined) throw new SallyportError('idp_bad_response', { detail: 'an unknown content coding' });
  try {
    return decode(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    if (error instanceof RangeError) throw tooLong(maxBytes);
    throw error;
  }
}

function tooLong(maxBytes: number): SallyportError {
  return new SallyportError('idp_bad_response', { detail: `answer above ${maxBytes} bytes` });
}

/**
 * A `Response` whose body is all there. Reading the platform's own costs a stream and a dozen promises each time; this
 * one is read from its bytes, and stays one for everybody who asks for a `Response`.
 */
export class WholeResponse extends Response {
  /** True once the content was read. */
  override bodyUsed = false;
  readonly #bytes: Buffer;

  /** @throws RangeError for a status that no answer has, TypeError for a header that no answer can have. */
  constructor(status: number, fields: [string, string][], bytes: Buffer) {
    super(null, { status, headers: fields });
    this.#bytes = bytes;
  }

  /** The content as UTF-8, once, as the platform does. @throws TypeError the second time */
  override readonly text = async (): Promise<string> => {
    this.#refuseUsed();
    this.bodyUsed = true;
    const text = this.#bytes.toString('utf8');
    return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  };

  /** @throws SyntaxError for what is no JSON, TypeError the second time */
  override readonly json = async (): Promise<unknown> => JSON.parse(await this.text());

  /** @throws TypeError after it was read */
  override readonly clone = (): WholeResponse => {
    this.#refuseUsed();
    return new WholeResponse(this.status, [...this.headers], this.#bytes);
  };

  #refuseUsed(): void {
    if (this.bodyUsed) throw new TypeError('the body was read before');
  }
}
