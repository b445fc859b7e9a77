import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** A certificate that signs itself (RFC 5280, in DER, by hand: Node reads certificates and makes none). */
export interface Certificate {
  cert: string;
  key: string;
}

const DAY_MS = 86_400_000;
const ECDSA_WITH_SHA256 = sequence(bytes(0x06, Buffer.from('2a8648ce3d040302', 'hex')));
const COMMON_NAME = bytes(0x06, Buffer.from('550403', 'hex'));
const SUBJECT_ALTERNATIVE_NAME = bytes(0x06, Buffer.from('551d11', 'hex'));

/** For a DNS name, with a new key. It is valid from yesterday on, for as many days as said. */
export function selfSigned(name: string, { days = 2 } = {}): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const start = Date.now() - DAY_MS;
  const holder = sequence(bytes(0x31, sequence(COMMON_NAME, bytes(0x0c, Buffer.from(name)))));
  const alternativeNames = sequence(bytes(0x82, Buffer.from(name)));
  const toBeSigned = sequence(
    bytes(0xa0, bytes(0x02, Buffer.from([2]))),
    bytes(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_WITH_SHA256,
    holder,
    sequence(time(start), time(start + days * DAY_MS)),
    holder,
    publicKey.export({ format: 'der', type: 'spki' }),
    bytes(0xa3, sequence(sequence(SUBJECT_ALTERNATIVE_NAME, bytes(0x04, alternativeNames)))),
  );
  const signature = bytes(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', toBeSigned, privateKey)]));
  const der = sequence(toBeSigned, ECDSA_WITH_SHA256, signature);
  return { cert: `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`, key: pem(privateKey) };
}

function pem(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}

function sequence(...parts: Buffer[]): Buffer {
  return bytes(0x30, Buffer.concat(parts));
}

/** UTCTime: two digits of the year. */
function time(atMs: number): Buffer {
  const [date, clock] = new Date(atMs).toISOString().split('T') as [string, string];
  return bytes(0x17, Buffer.from(`${date.slice(2).replaceAll('-', '')}${clock.slice(0, 8).replaceAll(':', '')}Z`));
}

function bytes(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
