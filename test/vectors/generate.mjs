/**
 * Makes the vectors: `node test/vectors/generate.mjs` writes the JSON files beside it. Nothing in it is random, so every run gives the
 * same bytes (Ed25519 signatures are deterministic: RFC 8032). It knows neither the server's code nor a JOSE library, only node:crypto.
 * The private keys are written below for everyone to read: they sign nothing but these vectors.
 */
import { writeFileSync } from 'node:fs';
import {
  ACCOUNT,
  base64url,
  EPOCH,
  encrypt,
  EXPECT,
  FINGERPRINT,
  GOOD,
  hmac,
  KEYS,
  keySets,
  LICENSE_ID,
  LICENSE_KEY,
  licFile,
  NONCE,
  OTHER_ACCOUNT,
  sha256,
  sign,
  TYPES,
} from './material.mjs';

const NOW = EPOCH + 60;
const byFile = { tokens: [], files: [], encrypted: [], 'air-gapped': [], 'bit-flips': [] };

/** One vector; `result` is the claims, or the reason of the refusal. */
function add(file, name, shows, document, result, expect, keySet = 'live') {
  const outcome = typeof result === 'string' ? { refused: result } : { claims: result };
  byFile[file].push({ name, shows, document, keySet, expect: { now: NOW, ...expect }, result: outcome });
}

const [headerOf, payloadOf, signatureOf] = [0, 1, 2].map((part) => (token) => token.split('.')[part]);
const json = (value) => base64url(JSON.stringify(value));
const genuineHeader = { alg: 'EdDSA', typ: TYPES.validation, kid: KEYS.live.kid };
/** The genuine payload and signature of a token under another header. */
const underHeader = (header) => `${json(header)}.${payloadOf(GOOD.validation)}.${signatureOf(GOOD.validation)}`;
const CLAIMS = GOOD.claims;

// ---- What is good ----------------------------------------------------------------------------------------------------------------

add('tokens', 'validation', 'The signed answer of a validation that sent a nonce.', GOOD.validation, CLAIMS.validation, EXPECT.validation);
add(
  'tokens',
  'validation, nothing more expected',
  'Nonce and fingerprint are compared where the app says what they must be.',
  GOOD.validation,
  CLAIMS.validation,
  { kind: 'validation', audience: ACCOUNT, environment: 'live' },
);
add(
  'tokens',
  'validation, not valid',
  'It verifies, and what it says is no: verified is not the same as valid.',
  GOOD.invalid,
  CLAIMS.invalid,
  EXPECT.validation,
);
add('tokens', 'validation without a fingerprint', 'No fingerprint was sent: null.', GOOD.anyMachine, CLAIMS.anyMachine, {
  ...EXPECT.validation,
  fingerprint: undefined,
});
add('tokens', 'validation of the test environment', 'With its own keys and name.', GOOD.test, CLAIMS.test, EXPECT.test, 'test');
add(
  'tokens',
  'signed before a rotation',
  'The key before the last rotation is still in the set, so what it signed still verifies.',
  GOOD.rotated,
  CLAIMS.rotated,
  EXPECT.validation,
);
add('files', 'license', 'A license document.', GOOD.license, CLAIMS.license, EXPECT.license);
add('files', 'machine', 'A machine document.', GOOD.machine, CLAIMS.machine, EXPECT.machine);
add('files', 'license file', 'The same as a .lic file.', licFile(GOOD.license, 'LICENSE'), CLAIMS.license, EXPECT.license);
add('files', 'machine file', 'The same as a .lic file.', licFile(GOOD.machine, 'MACHINE'), CLAIMS.machine, EXPECT.machine);

// ---- Time ------------------------------------------------------------------------------------------------------------------------

for (const kind of ['validation', 'license', 'machine']) {
  const file = kind === 'validation' ? 'tokens' : 'files';
  const { exp } = CLAIMS[kind];
  const at = (now) => ({ ...EXPECT[kind], now });
  add(file, `${kind}, a second before exp`, 'Good until then.', GOOD[kind], CLAIMS[kind], at(exp - 1));
  add(
    file,
    `${kind}, at exp`,
    'exp is the first second at which it is good no longer (RFC 7519, section 4.1.4).',
    GOOD[kind],
    'expired',
    at(exp),
  );
  add(file, `${kind}, a year after exp`, 'Expired.', GOOD[kind], 'expired', at(exp + 365 * 86_400));
}
add(
  'tokens',
  'clock behind iat',
  'An app whose clock runs late gets documents from its future. They are good: iat tells the app that its clock is wrong.',
  GOOD.validation,
  CLAIMS.validation,
  { ...EXPECT.validation, now: CLAIMS.validation.iat - 3600 },
);

// ---- One kind for another --------------------------------------------------------------------------------------------------------

for (const made of ['validation', 'license', 'machine']) {
  for (const expected of ['validation', 'license', 'machine'].filter((kind) => kind !== made)) {
    // Only what both carry is expected, so that nothing but the typ tells them apart.
    const fingerprint = made === 'license' && expected === 'validation' ? undefined : EXPECT[expected].fingerprint;
    const shows = `A ${made} document where a ${expected} document is expected.`;
    add('files', `${made} for ${expected}`, shows, GOOD[made], 'wrong_type', { ...EXPECT[expected], nonce: undefined, fingerprint });
  }
}
for (const [name, typ] of [
  ['JWT', 'JWT'],
  ['of another case', 'Latchkey-Validation+JWT'],
  ['with application/', `application/${TYPES.validation}`],
  ['null', null],
]) {
  const document = sign(KEYS.live, { ...genuineHeader, typ }, CLAIMS.validation);
  add('tokens', `typ ${name}`, 'Latchkey writes typ in one way. Signed with the genuine key.', document, 'wrong_type', EXPECT.validation);
}
add(
  'tokens',
  'no typ',
  'Signed with the genuine key.',
  sign(KEYS.live, { alg: 'EdDSA', kid: KEYS.live.kid }, CLAIMS.validation),
  'wrong_type',
  EXPECT.validation,
);

// ---- Algorithms ------------------------------------------------------------------------------------------------------------------

const unsigned = { ...CLAIMS.validation, exp: EPOCH + 10 * 365 * 86_400 };
for (const alg of ['none', 'None', 'NONE', 'nOnE']) {
  const header = { ...genuineHeader, alg };
  add(
    'tokens',
    `alg ${alg}, no signature`,
    'Unsigned (RFC 8725, section 2.1).',
    `${json(header)}.${json(unsigned)}.`,
    'wrong_algorithm',
    EXPECT.validation,
  );
  add(
    'tokens',
    `alg ${alg}, signature kept`,
    'The signature of the genuine token.',
    underHeader(header),
    'wrong_algorithm',
    EXPECT.validation,
  );
}
for (const [form, secret] of Object.entries(KEYS.live.forms)) {
  for (const alg of ['HS256', 'HS512']) {
    const document = hmac({ ...genuineHeader, alg }, unsigned, secret);
    const shows = `The public key (${form}) as the secret of an HMAC: a verifier that lets the header choose would take it.`;
    add('tokens', `${alg} with the public key, ${form}`, shows, document, 'wrong_algorithm', EXPECT.validation);
  }
}
for (const alg of ['RS256', 'PS256', 'ES256', 'ES256K', 'Ed25519', 'Ed448', 'eddsa', '', ['EdDSA'], null, 1]) {
  add(
    'tokens',
    `alg ${JSON.stringify(alg)}`,
    'Only EdDSA, written so, is Latchkey.',
    underHeader({ ...genuineHeader, alg }),
    'wrong_algorithm',
    EXPECT.validation,
  );
}
add('tokens', 'no alg', 'Not said.', underHeader({ typ: TYPES.validation, kid: KEYS.live.kid }), 'wrong_algorithm', EXPECT.validation);
add(
  'tokens',
  'alg Ed25519, genuinely signed',
  'The same algorithm by its newer name (RFC 9864), which Latchkey does not use.',
  sign(KEYS.live, { ...genuineHeader, alg: 'Ed25519' }, CLAIMS.validation),
  'wrong_algorithm',
  EXPECT.validation,
);

// ---- Keys ------------------------------------------------------------------------------------------------------------------------

const { attacker } = KEYS;
const forged = (header, key = attacker) => sign(key, { ...genuineHeader, ...header }, unsigned);
add('tokens', 'unknown kid', 'A key that is in no set.', forged({ kid: attacker.kid }), 'unknown_key', EXPECT.validation);
add('tokens', 'kid of the genuine key', 'Signed with another.', forged({}), 'bad_signature', EXPECT.validation);
add(
  'tokens',
  'kid of another key of the set',
  'kid says which; no other is tried.',
  sign(KEYS.live, { ...genuineHeader, kid: KEYS.retired.kid }, CLAIMS.validation),
  'bad_signature',
  EXPECT.validation,
);
add(
  'tokens',
  'no kid',
  'No key is guessed.',
  sign(KEYS.live, { alg: 'EdDSA', typ: TYPES.validation }, CLAIMS.validation),
  'unknown_key',
  EXPECT.validation,
);
for (const kid of [
  '',
  '__proto__',
  'constructor',
  '0',
  `${KEYS.live.kid} `,
  KEYS.live.kid.toLowerCase(),
  '../keys',
  0,
  null,
  [KEYS.live.kid],
  { kid: KEYS.live.kid },
]) {
  add(
    'tokens',
    `kid ${JSON.stringify(kid)}`,
    'Not that of a key of the set.',
    sign(KEYS.live, { ...genuineHeader, kid }, CLAIMS.validation),
    'unknown_key',
    EXPECT.validation,
  );
}
add('tokens', 'a key that is published no longer', 'Its overlap is over.', GOOD.rotated, 'unknown_key', EXPECT.validation, 'live-later');
add('tokens', "another environment's key", 'Test is not live.', GOOD.test, 'unknown_key', EXPECT.validation);
add(
  'tokens',
  "another environment's key, said to be live",
  'The claims do not make it so.',
  sign(KEYS.test, { ...genuineHeader, kid: KEYS.test.kid }, CLAIMS.validation),
  'unknown_key',
  EXPECT.validation,
);
add('tokens', "another account's key", 'It does not sign for this one.', GOOD.otherAccount, 'unknown_key', EXPECT.validation);
const noKeys = 'Nothing is trusted when nothing is pinned.';
add('tokens', 'an empty key set', noKeys, GOOD.validation, 'unknown_key', EXPECT.validation, 'empty');
add(
  'tokens',
  'jwk in the header',
  'A key that came with the document is never used.',
  forged({ kid: attacker.kid, jwk: attacker.jwk }),
  'unknown_key',
  EXPECT.validation,
);
add(
  'tokens',
  'jwk in the header under the genuine kid',
  'The pinned key of that kid counts.',
  forged({ jwk: { ...attacker.jwk, kid: KEYS.live.kid } }),
  'bad_signature',
  EXPECT.validation,
);
add(
  'tokens',
  'jku in the header',
  'Nothing is fetched from where a document says.',
  forged({ jku: 'https://attacker.example/jwks.json' }),
  'bad_signature',
  EXPECT.validation,
);
add(
  'tokens',
  'x5u in the header',
  'Nothing is fetched from where a document says.',
  forged({ x5u: 'https://attacker.example/cert.pem' }),
  'bad_signature',
  EXPECT.validation,
);
add(
  'tokens',
  'x5c in the header',
  'A certificate that came with the document is never used.',
  forged({ x5c: ['MIIBAA=='] }),
  'bad_signature',
  EXPECT.validation,
);
add(
  'tokens',
  'jwk of zeroes, signature of zeroes',
  'A key of small order, which verifies some signatures of nothing.',
  `${json({ ...genuineHeader, jwk: { kty: 'OKP', crv: 'Ed25519', x: base64url(Buffer.alloc(32)) } })}.${json(unsigned)}.${base64url(Buffer.alloc(64))}`,
  'bad_signature',
  EXPECT.validation,
);

// ---- Claims that a genuine key signed, but not for this app ----------------------------------------------------------------------

const signed = (changes, key = KEYS.live) => sign(key, { ...genuineHeader, kid: key.kid }, { ...CLAIMS.validation, ...changes });
add('tokens', 'another issuer', 'iss is not latchkey.', signed({ iss: 'https://latchkey.example' }), 'wrong_issuer', EXPECT.validation);
add('tokens', 'no issuer', 'iss is not there.', signed({ iss: undefined }), 'wrong_issuer', EXPECT.validation);
add(
  'tokens',
  "another account's document, both keys trusted",
  "A vendor's app takes its own vendor's alone.",
  GOOD.otherAccount,
  'wrong_audience',
  EXPECT.validation,
  'all',
);
add(
  'tokens',
  'several audiences',
  'Latchkey writes one, as a text.',
  signed({ aud: [ACCOUNT, OTHER_ACCOUNT] }),
  'wrong_audience',
  EXPECT.validation,
);
add('tokens', 'no audience', 'aud is not there.', signed({ aud: undefined }), 'wrong_audience', EXPECT.validation);
add(
  'tokens',
  'test document for live, both keys trusted',
  'Licenses of the test environment cost nothing.',
  GOOD.test,
  'wrong_environment',
  EXPECT.validation,
  'all',
);
add('tokens', 'live document for test', 'Nor the other way round.', GOOD.validation, 'wrong_environment', EXPECT.test, 'all');
add('tokens', 'another nonce', 'An answer to another question, or an old one again.', GOOD.validation, 'wrong_nonce', {
  ...EXPECT.validation,
  nonce: 'b8d1c7',
});
add('tokens', 'no nonce', 'One was sent, so one must come back.', signed({ nonce: undefined }), 'wrong_nonce', EXPECT.validation);
add('tokens', 'another fingerprint', 'The answer is about another machine.', GOOD.validation, 'wrong_fingerprint', {
  ...EXPECT.validation,
  fingerprint: 'bobs-laptop-0002',
});
add(
  'tokens',
  'no fingerprint where one is expected',
  'The answer is about the license alone.',
  GOOD.anyMachine,
  'wrong_fingerprint',
  EXPECT.validation,
);
add('tokens', 'another license', 'A genuine answer about a license that is not the one in use.', GOOD.validation, 'wrong_license', {
  ...EXPECT.validation,
  license: CLAIMS.test.sub,
});
add('tokens', 'the license in use', 'The same, about the right one.', GOOD.validation, CLAIMS.validation, {
  ...EXPECT.validation,
  license: LICENSE_ID,
});
add('files', "another machine's document", 'Copied to another computer.', GOOD.machine, 'wrong_fingerprint', {
  ...EXPECT.machine,
  fingerprint: 'bobs-laptop-0002',
});
add('files', "another machine's file", 'Copied to another computer.', licFile(GOOD.machine, 'MACHINE'), 'wrong_fingerprint', {
  ...EXPECT.machine,
  fingerprint: 'bobs-laptop-0002',
});
add('files', 'another license', 'A genuine document of a license that is not the one in use.', GOOD.license, 'wrong_license', {
  ...EXPECT.license,
  license: CLAIMS.test.sub,
});
for (const kind of ['license', 'machine']) {
  add('files', `${kind} of another product`, 'All products of an account share its keys.', GOOD[kind], 'wrong_product', {
    ...EXPECT[kind],
    product: 'acme-viewer',
  });
  add('files', `${kind} of this product`, 'The same, for the right one.', GOOD[kind], CLAIMS[kind], {
    ...EXPECT[kind],
    product: 'acme-editor',
  });
}
for (const exp of [undefined, null, String(CLAIMS.validation.exp), true]) {
  add(
    'tokens',
    `exp ${JSON.stringify(exp) ?? 'missing'}`,
    'Without an end there is no document, whoever signed it.',
    signed({ exp }),
    'malformed',
    EXPECT.validation,
  );
}
for (const text of ['', 'null', '[]', '"latchkey"', '{', `${JSON.stringify(CLAIMS.validation)},`, '\ufeff{}']) {
  const document = sign(KEYS.live, genuineHeader, text);
  add('tokens', `payload ${JSON.stringify(text.slice(0, 10))}`, 'Signed, but not a JSON object.', document, 'malformed', EXPECT.validation);
}

// A number or a nesting that languages read differently: everybody refuses it.
const rewritten = (kind, from, to) => {
  const payload = JSON.stringify(CLAIMS[kind]);
  if (!payload.includes(from)) throw new Error(`There is no ${from} in ${kind}.`);
  return sign(KEYS.live, { ...genuineHeader, typ: TYPES[kind] }, payload.replace(from, to));
};
const { exp: goodExp } = CLAIMS.validation;
for (const [name, number] of [
  ['1e400', '1e400'],
  ['of 400 digits', '9'.repeat(400)],
  ['of 5,000 digits', '9'.repeat(5000)],
  ['2^53', '9007199254740992'],
  ['with a fraction', `${goodExp}.5`],
  ['a list', `[${goodExp}]`],
  ['an object', '{}'],
]) {
  const document = rewritten('validation', `"exp":${goodExp}`, `"exp":${number}`);
  add('tokens', `exp ${name}`, 'exp is a whole number below 2^53.', document, 'malformed', EXPECT.validation);
}
for (const [name, number] of [
  ['1e400', '1e400'],
  ['-1e400', '-1e400'],
  ['of 400 digits', '9'.repeat(400)],
]) {
  const document = rewritten('validation', '"quantity":5', `"quantity":${number}`);
  const shows = 'A number that is no finite double is infinite in one language and an error in another.';
  add('tokens', `quantity ${name}`, shows, document, 'malformed', EXPECT.validation);
}
const nested = (depth) => '['.repeat(depth) + ']'.repeat(depth);
const deep = (depth) => rewritten('validation', '"iss"', `"more":${nested(depth)},"iss"`);
const shallow = deep(63);
add(
  'tokens',
  'nested 64 deep',
  'The payload is the first level. What is not known is ignored.',
  shallow,
  JSON.parse(Buffer.from(payloadOf(shallow), 'base64url')),
  EXPECT.validation,
);
for (const depth of [65, 2000]) {
  const shows = 'Parsers give up at depths of their own: 64 is the deepest for everybody.';
  add('tokens', `nested ${depth} deep`, shows, deep(depth - 1), 'malformed', EXPECT.validation);
}
for (const [name, product] of [
  ['null', 'null'],
  ['a text', '"acme-editor"'],
  ['a list', '["acme-editor"]'],
]) {
  const document = rewritten('license', JSON.stringify(CLAIMS.license.product), product);
  const expect = { ...EXPECT.license, product: 'acme-editor' };
  add('files', `product ${name}`, 'It has no code.', document, 'wrong_product', expect);
}
for (const b64 of [false, true, null]) {
  const document = sign(KEYS.live, { ...genuineHeader, b64 }, CLAIMS.validation);
  const shows =
    'b64 (RFC 7797) changes what is signed; without crit some libraries obey it and others do not. Signed with the genuine key.';
  add('tokens', `b64 ${b64}`, shows, document, 'malformed', EXPECT.validation);
}

// ---- Claims that were changed afterwards -----------------------------------------------------------------------------------------

const changed = (kind, changes) => `${headerOf(GOOD[kind])}.${json({ ...CLAIMS[kind], ...changes })}.${signatureOf(GOOD[kind])}`;
for (const [name, kind, changes, expect] of [
  ['stretched exp', 'validation', { exp: CLAIMS.validation.exp + 365 * 86_400 }],
  ['stretched exp', 'license', { exp: CLAIMS.license.exp + 365 * 86_400 }],
  ['stretched exp', 'machine', { exp: CLAIMS.machine.exp + 365 * 86_400 }],
  ['swapped fingerprint', 'validation', { fingerprint: 'bobs-laptop-0002' }, { fingerprint: 'bobs-laptop-0002' }],
  ['swapped fingerprint', 'machine', { fingerprint: 'bobs-laptop-0002' }, { fingerprint: 'bobs-laptop-0002' }],
  ['swapped nonce', 'validation', { nonce: 'b8d1c7' }, { nonce: 'b8d1c7' }],
  ['swapped sub', 'validation', { sub: CLAIMS.test.sub }],
  ['swapped sub', 'license', { sub: CLAIMS.test.sub }],
  ['swapped aud', 'validation', { aud: OTHER_ACCOUNT }, { audience: OTHER_ACCOUNT }],
  ['swapped aud', 'license', { aud: OTHER_ACCOUNT }, { audience: OTHER_ACCOUNT }],
  ['swapped environment', 'validation', { environment: 'test' }, { environment: 'test' }],
  ['turned to valid', 'invalid', { valid: true, code: 'VALID' }],
  [
    'more entitlements',
    'license',
    { entitlements: [...CLAIMS.license.entitlements, { code: 'enterprise', expiresAt: null, quantity: null }] },
  ],
]) {
  const file = ['validation', 'invalid'].includes(kind) ? 'tokens' : 'files';
  add(file, `${kind}, ${name}`, 'Written again; the signature is that of the genuine one.', changed(kind, changes), 'bad_signature', {
    ...EXPECT[kind === 'invalid' ? 'validation' : kind],
    ...expect,
  });
}
const [aHeader, aPayload] = GOOD.validation.split('.');
const reordered = Object.fromEntries(Object.entries(CLAIMS.validation).reverse());
add(
  'tokens',
  'the same claims in another order',
  'The bytes are signed, not what they mean.',
  `${aHeader}.${json(reordered)}.${signatureOf(GOOD.validation)}`,
  'bad_signature',
  EXPECT.validation,
);
add(
  'tokens',
  'signature of another document',
  'Both are genuine, each for itself.',
  `${aHeader}.${aPayload}.${signatureOf(GOOD.invalid)}`,
  'bad_signature',
  EXPECT.validation,
);
add(
  'tokens',
  'typ swapped',
  'A genuine license document under the header of a token.',
  `${aHeader}.${payloadOf(GOOD.license)}.${signatureOf(GOOD.license)}`,
  'bad_signature',
  { ...EXPECT.validation, nonce: undefined, fingerprint: undefined },
);

// ---- Signatures ------------------------------------------------------------------------------------------------------------------

const withSignature = (bytes) => `${aHeader}.${aPayload}.${base64url(bytes)}`;
const genuine = Buffer.from(signatureOf(GOOD.validation), 'base64url');
add('tokens', 'no signature', 'The header says EdDSA.', `${aHeader}.${aPayload}.`, 'bad_signature', EXPECT.validation);
add('tokens', 'signature of zeroes', 'All 64 bytes are 0.', withSignature(Buffer.alloc(64)), 'bad_signature', EXPECT.validation);
add(
  'tokens',
  'signature of the neutral element',
  'R is the neutral element and S is 0.',
  withSignature(Buffer.concat([Buffer.from([1]), Buffer.alloc(63)])),
  'bad_signature',
  EXPECT.validation,
);
add(
  'tokens',
  'signature with S + L',
  'The same signature modulo the order of the group: RFC 8032, section 5.1.7, wants S below L.',
  withSignature(plusOrder(genuine)),
  'bad_signature',
  EXPECT.validation,
);
add('tokens', 'signature one byte short', '63 bytes.', withSignature(genuine.subarray(0, 63)), 'bad_signature', EXPECT.validation);
add(
  'tokens',
  'signature one byte long',
  '65 bytes.',
  withSignature(Buffer.concat([genuine, Buffer.alloc(1)])),
  'bad_signature',
  EXPECT.validation,
);
add('tokens', 'signature twice', '128 bytes.', withSignature(Buffer.concat([genuine, genuine])), 'bad_signature', EXPECT.validation);
add(
  'tokens',
  'halves of the signature exchanged',
  'S, then R.',
  withSignature(Buffer.concat([genuine.subarray(32), genuine.subarray(0, 32)])),
  'bad_signature',
  EXPECT.validation,
);

/** R and S + L, little-endian; L = 2^252 + 27742317777372353535851937790883648493. */
function plusOrder(signature) {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const scalar = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + order;
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').reverse()]);
}

// ---- Form ------------------------------------------------------------------------------------------------------------------------

const parts = GOOD.validation.split('.');
const general = { payload: parts[1], signatures: [{ protected: parts[0], signature: parts[2] }] };
const last = parts[2].at(-1);
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** The last character of a 64-byte signature carries 2 bits and 4 that mean nothing: other texts for the same bytes. */
const looseEnds = [1, 2, 4, 8].map((bit) => GOOD.validation.slice(0, -1) + ALPHABET[ALPHABET.indexOf(last) ^ bit]);
for (const [name, shows, document] of [
  ['empty', 'Nothing.', ''],
  ['one dot', 'Two parts.', `${parts[0]}.${parts[1]}`],
  ['no dot', 'One part.', parts[0]],
  ['only dots', 'Three empty parts.', '..'],
  ['a dot more', 'Four parts.', `${GOOD.validation}.`],
  ['a dot in front', 'Four parts.', `.${GOOD.validation}`],
  ['a fourth part', 'Four parts.', `${GOOD.validation}.${parts[2]}`],
  ['padding after the header', 'base64url in JOSE has none.', `${parts[0]}=.${parts[1]}.${parts[2]}`],
  ['padding after the signature', 'base64url in JOSE has none.', `${GOOD.validation}==`],
  ['a space in front', 'White space.', ` ${GOOD.validation}`],
  ['a line end behind', 'White space.', `${GOOD.validation}\n`],
  ['a line end inside', 'White space.', `${parts[0]}.${parts[1].slice(0, 64)}\n${parts[1].slice(64)}.${parts[2]}`],
  ['a zero byte behind', 'Not of the alphabet.', `${GOOD.validation}\u0000`],
  ['base64 for base64url', 'The wrong alphabet.', `${parts[0]}.${parts[1]}.${parts[2].slice(0, -1)}+`],
  ['a character of another script', 'A Cyrillic a.', `${parts[0]}.${parts[1]}.${parts[2].slice(0, -1)}\u0430`],
  ['quotes around', 'The JSON text of it.', JSON.stringify(GOOD.validation)],
  ['Bearer in front', 'Not a header of HTTP.', `Bearer ${GOOD.validation}`],
  ['JSON serialization, general', 'Only the compact one is Latchkey.', JSON.stringify(general)],
  [
    'JSON serialization, flattened',
    'Only the compact one is Latchkey.',
    JSON.stringify({ payload: parts[1], protected: parts[0], signature: parts[2] }),
  ],
  ...looseEnds.map((document, index) => [
    `loose bit ${index} of the last character`,
    'Another text for the same bytes (RFC 4648, section 3.5).',
    document,
  ]),
  ['header not JSON', 'Cut off.', `${base64url('{"alg":"EdDSA"')}.${parts[1]}.${parts[2]}`],
  ['header an array', 'Not an object.', `${json([genuineHeader])}.${parts[1]}.${parts[2]}`],
  ['header null', 'Not an object.', `${json(null)}.${parts[1]}.${parts[2]}`],
  [
    'header not UTF-8',
    'Bytes that are no text.',
    `${base64url(Buffer.concat([Buffer.from('{"alg":"EdDSA","x":"'), Buffer.from([0xff]), Buffer.from('"}')]))}.${parts[1]}.${parts[2]}`,
  ],
  [
    'header with a byte order mark',
    'JSON has none (RFC 8259, section 8.1).',
    `${base64url(`\ufeff${JSON.stringify(genuineHeader)}`)}.${parts[1]}.${parts[2]}`,
  ],
]) {
  add('tokens', name, shows, document, 'malformed', EXPECT.validation);
}
add(
  'tokens',
  'payload cut by a character',
  'A text of four characters and one more is no base64url.',
  cutTo(1),
  'malformed',
  EXPECT.validation,
);
add(
  'tokens',
  'payload cut by a byte',
  'Well-formed, and not what was signed.',
  `${parts[0]}.${base64url(Buffer.from(parts[1], 'base64url').subarray(0, -1))}.${parts[2]}`,
  'bad_signature',
  EXPECT.validation,
);
function cutTo(rest) {
  const length = parts[1].length - ((parts[1].length - rest) % 4);
  return `${parts[0]}.${parts[1].slice(0, length)}.${parts[2]}`;
}
for (const [name, crit] of [
  ['of something unknown', ['latchkey']],
  ['of b64', ['b64']],
  ['of nothing', []],
  ['that is no list', 'exp'],
]) {
  const header = { ...genuineHeader, crit, latchkey: 1, b64: true };
  add(
    'tokens',
    `crit ${name}`,
    'It names what a verifier must understand; Latchkey never writes it. Signed with the genuine key.',
    sign(KEYS.live, header, CLAIMS.validation),
    'malformed',
    EXPECT.validation,
  );
}
add(
  'tokens',
  'unknown header parameter',
  'Ignored (RFC 7515, section 4), so that new ones can come. Signed with the genuine key.',
  sign(KEYS.live, { ...genuineHeader, hint: 'later' }, CLAIMS.validation),
  CLAIMS.validation,
  EXPECT.validation,
);
add(
  'tokens',
  'unknown claim',
  'Ignored (RFC 7519, section 4), so that new ones can come.',
  signed({ hint: 'later' }),
  { ...CLAIMS.validation, hint: 'later' },
  EXPECT.validation,
);
const twice = (member) => base64url(JSON.stringify(genuineHeader).replace('{', `{${member},`));
add(
  'tokens',
  'alg twice',
  'The last one counts (or none does): not what was signed either way.',
  `${twice('"alg":"none"')}.${parts[1]}.${parts[2]}`,
  'bad_signature',
  EXPECT.validation,
);
add(
  'tokens',
  'kid twice',
  'The last one counts (or none does): not what was signed either way.',
  `${twice(`"kid":"${attacker.kid}"`)}.${parts[1]}.${parts[2]}`,
  'bad_signature',
  EXPECT.validation,
);
const expTwice = JSON.stringify(CLAIMS.validation).replace(/}$/, `,"exp":${String(unsigned.exp)}}`);
add('tokens', 'exp twice', 'Not what was signed.', `${parts[0]}.${base64url(expTwice)}.${parts[2]}`, 'bad_signature', EXPECT.validation);

// ---- Files -----------------------------------------------------------------------------------------------------------------------

const file = licFile(GOOD.license, 'LICENSE');
const lines = file.trimEnd().split('\n');
const [BEGIN, END] = [lines[0], lines.at(-1)];
const body = lines.slice(1, -1);
const text = (...all) => `${all.flat().join('\n')}\n`;
const rewrapped = body.join('').match(/.{1,76}/g);
for (const [name, shows, document] of [
  ['CRLF', 'Lines as Windows and mail write them.', file.replaceAll('\n', '\r\n')],
  ['no line end at the end', 'Lost in copying.', file.trimEnd()],
  ['blank lines around', 'Picked up in copying.', `\r\n\n${file}\n  \t\n`],
  ['lines of 76', 'Wrapped by another program.', text(BEGIN, rewrapped, END)],
  ['one line', 'Unwrapped by another program.', text(BEGIN, body.join(''), END)],
]) {
  add('files', `file: ${name}`, shows, document, CLAIMS.license, EXPECT.license);
}
const middle = Math.floor(body.length / 2);
for (const [name, shows, document] of [
  ['another first line', 'Not a file of Latchkey.', text('-----BEGIN CERTIFICATE-----', body, '-----END CERTIFICATE-----')],
  ['LATCHKEY in small letters', 'Not the line.', file.replaceAll('LATCHKEY', 'Latchkey')],
  ['four dashes', 'Not the line.', file.replace('-----BEGIN', '----BEGIN')],
  ['LICENSE, then MACHINE', 'The lines must be of one kind.', text(BEGIN, body, END.replace('LICENSE', 'MACHINE'))],
  ['MACHINE, then LICENSE', 'The lines must be of one kind.', text(BEGIN.replace('LICENSE', 'MACHINE'), body, END)],
  ['no last line', 'Cut off.', text(BEGIN, body)],
  ['no first line', 'Cut off.', text(body, END)],
  ['nothing inside', 'No document.', text(BEGIN, END)],
  ['garbage inside', 'A line that is no base64.', text(BEGIN, body.slice(0, middle), '# note', body.slice(middle), END)],
  ['a blank line inside', 'Not as it is made.', text(BEGIN, body.slice(0, middle), '', body.slice(middle), END)],
  ['text in front', 'Not only the file.', `Your license:\n${file}`],
  ['text behind', 'Not only the file.', `${file}Thank you!\n`],
  ['the file twice', 'Not only the file.', file + file],
  ['the first line twice', 'Not as it is made.', text(BEGIN, lines)],
  ['a character missing', 'No base64.', text(BEGIN, body.with(middle, body[middle].slice(1)), END)],
  ['base64url inside', 'base64 is written with padding, + and /.', text(BEGIN, body.join('').replace(/=+$/, ''), '_', END)],
  ['spaces before each line', 'Not as it is made.', lines.map((line) => `  ${line}`).join('\n')],
  ['the document itself inside', 'It is written as base64.', text(BEGIN, GOOD.license, END)],
  ['a byte order mark in front', 'Not as it is made.', `\ufeff${file}`],
  ['white space inside the base64', 'The document has a line end.', licFile(`${GOOD.license}\n`, 'LICENSE')],
  ['a file in a file', 'One is enough.', licFile(file, 'LICENSE')],
]) {
  add('files', `file: ${name}`, shows, document, 'malformed', EXPECT.license);
}
add(
  'files',
  'file: lines in another order',
  'Not what was signed.',
  text(BEGIN, body.with(-3, body.at(-2)).with(-2, body.at(-3)), END),
  'bad_signature',
  EXPECT.license,
);
add(
  'files',
  'file: license under MACHINE',
  'The label says the kind, as typ does.',
  licFile(GOOD.license, 'MACHINE'),
  'wrong_type',
  EXPECT.license,
);
add(
  'files',
  'file: license under MACHINE, machine expected',
  'What is inside is a license document.',
  licFile(GOOD.license, 'MACHINE'),
  'wrong_type',
  EXPECT.machine,
);
add(
  'files',
  'file: machine under LICENSE',
  'The label says the kind, as typ does.',
  licFile(GOOD.machine, 'LICENSE'),
  'wrong_type',
  EXPECT.machine,
);
add(
  'files',
  'file: a validation token inside',
  'There are no files of tokens.',
  licFile(GOOD.validation, 'LICENSE'),
  'wrong_type',
  EXPECT.license,
);
add('files', 'file: license file where a token is expected', 'There are no files of tokens.', file, 'wrong_type', EXPECT.validation);

// ---- Encrypted -------------------------------------------------------------------------------------------------------------------

const secret = { licenseKey: LICENSE_KEY };
const lock = { license: LICENSE_KEY, machine: LICENSE_KEY + FINGERPRINT };
for (const [kind, label] of [
  ['license', 'LICENSE'],
  ['machine', 'MACHINE'],
]) {
  const expect = { ...EXPECT[kind], ...secret };
  const jwe = encrypt(GOOD[kind], lock[kind], `${kind} iv`);
  add('encrypted', `${kind}`, 'Encrypted under the license key, for machines with the fingerprint behind it.', jwe, CLAIMS[kind], expect);
  add('encrypted', `${kind} file`, 'The same as a .lic file.', licFile(jwe, label), CLAIMS[kind], expect);
  add(
    'encrypted',
    `${kind}, not encrypted`,
    'What protects is the signature: a plain document is good where an encrypted one may come.',
    GOOD[kind],
    CLAIMS[kind],
    expect,
  );
  add('encrypted', `${kind}, another license key`, 'It opens for its key alone.', jwe, 'cannot_decrypt', {
    ...expect,
    licenseKey: 'ACME-0000-0000-0000-0000-0000-0000',
  });
  add('encrypted', `${kind}, license key in small letters`, 'The key as displayed, to the letter.', jwe, 'cannot_decrypt', {
    ...expect,
    licenseKey: LICENSE_KEY.toLowerCase(),
  });
  add('encrypted', `${kind}, no license key`, 'It opens for its key alone.', jwe, 'cannot_decrypt', EXPECT[kind]);
  add('encrypted', `${kind}, at exp`, 'Encrypted or not.', jwe, 'expired', { ...expect, now: CLAIMS[kind].exp });
}
const jwe = encrypt(GOOD.license, lock.license, 'license iv');
const expectLicense = { ...EXPECT.license, ...secret };
add(
  'encrypted',
  'machine, another fingerprint',
  'It opens on its machine alone.',
  encrypt(GOOD.machine, lock.machine, 'machine iv'),
  'cannot_decrypt',
  { ...EXPECT.machine, ...secret, fingerprint: 'bobs-laptop-0002' },
);
add(
  'encrypted',
  'machine under the license key alone',
  'The fingerprint belongs to the key.',
  encrypt(GOOD.machine, lock.license, 'machine iv'),
  'cannot_decrypt',
  { ...EXPECT.machine, ...secret },
);
add(
  'encrypted',
  'machine document inside',
  'typ inside counts.',
  encrypt(GOOD.machine, lock.license, 'license iv 2'),
  'wrong_type',
  expectLicense,
);
add(
  'encrypted',
  'license document inside, machine expected',
  'typ inside counts.',
  encrypt(GOOD.license, lock.machine, 'machine iv 2'),
  'wrong_type',
  { ...EXPECT.machine, ...secret },
);
add(
  'encrypted',
  'validation token inside',
  'typ inside counts.',
  encrypt(GOOD.validation, lock.license, 'license iv 3'),
  'wrong_type',
  expectLicense,
);
add('encrypted', 'where a token is expected', 'Tokens are not encrypted.', jwe, 'malformed', { ...EXPECT.validation, ...secret });
add(
  'encrypted',
  'machine file under LICENSE',
  'The label says the kind.',
  licFile(encrypt(GOOD.machine, lock.machine, 'machine iv'), 'LICENSE'),
  'wrong_type',
  { ...EXPECT.machine, ...secret },
);
add(
  'encrypted',
  'forged inside',
  'Whoever has the license key can encrypt, not sign.',
  encrypt(forged({ typ: TYPES.license }), lock.license, 'license iv 4'),
  'bad_signature',
  expectLicense,
);
add(
  'encrypted',
  'alg none inside',
  'Whoever has the license key can encrypt, not sign.',
  encrypt(`${json({ ...genuineHeader, alg: 'none', typ: TYPES.license })}.${json(unsigned)}.`, lock.license, 'license iv 5'),
  'wrong_algorithm',
  expectLicense,
);
add(
  'encrypted',
  'claims inside, not signed',
  'Encryption is no signature.',
  encrypt(JSON.stringify(CLAIMS.license), lock.license, 'license iv 6'),
  'malformed',
  expectLicense,
);
add('encrypted', 'encrypted twice', 'Once is enough.', encrypt(jwe, lock.license, 'license iv 7'), 'malformed', expectLicense);
add('encrypted', 'file inside', 'A document is inside.', encrypt(file, lock.license, 'license iv 8'), 'malformed', expectLicense);
add(
  'encrypted',
  'not UTF-8 inside',
  'A document is inside.',
  encrypt(Buffer.from([0xff, 0xfe]), lock.license, 'license iv 9'),
  'malformed',
  expectLicense,
);
const jweHeader = { alg: 'dir', enc: 'A256GCM', cty: 'JWT' };
for (const [name, header, reason] of [
  ['alg A256KW', { ...jweHeader, alg: 'A256KW' }, 'wrong_algorithm'],
  ['alg RSA1_5', { ...jweHeader, alg: 'RSA1_5' }, 'wrong_algorithm'],
  ['alg PBES2-HS256+A128KW', { ...jweHeader, alg: 'PBES2-HS256+A128KW', p2c: 2_147_483_647, p2s: 'AAAAAAAAAAA' }, 'wrong_algorithm'],
  ['alg none', { ...jweHeader, alg: 'none' }, 'wrong_algorithm'],
  ['enc A128GCM', { ...jweHeader, enc: 'A128GCM' }, 'wrong_algorithm'],
  ['enc A256CBC-HS512', { ...jweHeader, enc: 'A256CBC-HS512' }, 'wrong_algorithm'],
  ['no enc', { alg: 'dir', cty: 'JWT' }, 'wrong_algorithm'],
  ['zip', { ...jweHeader, zip: 'DEF' }, 'malformed'],
  ['crit', { ...jweHeader, crit: ['exp'], exp: 1 }, 'malformed'],
]) {
  const document = encrypt(GOOD.license, lock.license, 'license iv 10', header);
  add(
    'encrypted',
    `header ${name}`,
    'Only dir with A256GCM is Latchkey. Encrypted with this header, under the right key.',
    document,
    reason,
    expectLicense,
  );
}
const [jHeader, , jIv, jText, jTag] = jwe.split('.');
const bytes = (part) => Buffer.from(part, 'base64url');
const other = encrypt(GOOD.license, lock.license, 'license iv 11').split('.');
for (const [name, shows, document, reason] of [
  ['another header', 'The header is protected.', [json({ ...jweHeader, kid: 'x' }), '', jIv, jText, jTag], 'cannot_decrypt'],
  ['another iv', 'Of another document.', [jHeader, '', other[2], jText, jTag], 'cannot_decrypt'],
  ['another tag', 'Of another document.', [jHeader, '', jIv, jText, other[4]], 'cannot_decrypt'],
  ['another text', 'Of another document.', [jHeader, '', jIv, other[3], jTag], 'cannot_decrypt'],
  ['tag of zeroes', 'Not the tag.', [jHeader, '', jIv, jText, base64url(Buffer.alloc(16))], 'cannot_decrypt'],
  ['an encrypted key', 'dir has none.', [jHeader, base64url(Buffer.alloc(40)), jIv, jText, jTag], 'malformed'],
  [
    'tag of 4 bytes',
    'A256GCM has 16: shorter ones can be guessed.',
    [jHeader, '', jIv, jText, base64url(bytes(jTag).subarray(0, 4))],
    'malformed',
  ],
  ['no tag', 'A256GCM has 16 bytes.', [jHeader, '', jIv, jText, ''], 'malformed'],
  ['iv of 16 bytes', 'A256GCM has 12.', [jHeader, '', base64url(Buffer.alloc(16)), jText, jTag], 'malformed'],
  ['no iv', 'A256GCM has 12 bytes.', [jHeader, '', '', jText, jTag], 'malformed'],
  [
    'a byte of the text in the tag',
    'The same bytes, divided otherwise: a library that takes both as one would not see it.',
    [jHeader, '', jIv, base64url(bytes(jText).subarray(0, -1)), base64url(Buffer.concat([bytes(jText).subarray(-1), bytes(jTag)]))],
    'malformed',
  ],
  ['four parts', 'Neither signed nor encrypted.', [jHeader, '', jIv, jText], 'malformed'],
  ['six parts', 'Neither signed nor encrypted.', [jHeader, '', jIv, jText, jTag, ''], 'malformed'],
  ['padding', 'base64url in JOSE has none.', [jHeader, '', jIv, jText, `${jTag}==`], 'malformed'],
  [
    'JSON serialization',
    'Only the compact one is Latchkey.',
    [JSON.stringify({ protected: jHeader, iv: jIv, ciphertext: jText, tag: jTag })],
    'malformed',
  ],
]) {
  add('encrypted', name, shows, document.join('.'), reason, expectLicense);
}

// ---- Air-gapped ------------------------------------------------------------------------------------------------------------------

for (const [name, shows, make] of [
  [
    'request',
    'What an app without a network writes down, for somebody to carry to a browser.',
    { licenseKey: LICENSE_KEY, fingerprint: FINGERPRINT, name: "Ada's laptop", platform: 'linux', nonce: NONCE },
  ],
  [
    'request, nothing more than needed',
    'name and platform may be left out.',
    { licenseKey: LICENSE_KEY, fingerprint: FINGERPRINT, nonce: NONCE },
  ],
  [
    'request, in all scripts',
    'The digest is of UTF-8, and so is the JSON.',
    { licenseKey: 'schlüssel-für-große-✈', fingerprint: 'rechner-0001', name: 'Größe ☃ 漢字', nonce: NONCE },
  ],
]) {
  const { licenseKey, ...rest } = make;
  const request = { v: 1, keyDigest: sha256(licenseKey).toString('hex'), ...rest };
  byFile['air-gapped'].push({ name, shows, make, result: { request: Buffer.from(JSON.stringify(request)).toString('base64') } });
}
const answer = licFile(GOOD.answer, 'MACHINE');
const expectAnswer = { ...EXPECT.machine, nonce: NONCE };
add('air-gapped', 'answer', 'The machine file that answers the request.', answer, CLAIMS.answer, expectAnswer);
add('air-gapped', 'answer as a document', 'The same, not as a file.', GOOD.answer, CLAIMS.answer, expectAnswer);
add(
  'air-gapped',
  'answer, encrypted',
  'The same, encrypted.',
  licFile(encrypt(GOOD.answer, lock.machine, 'answer iv'), 'MACHINE'),
  CLAIMS.answer,
  { ...expectAnswer, ...secret },
);
add('air-gapped', 'answer to another request', 'An old answer, or that of another try.', answer, 'wrong_nonce', {
  ...expectAnswer,
  nonce: 'b8d1c7',
});
add('air-gapped', "answer to another machine's request", 'Carried to the wrong machine.', answer, 'wrong_fingerprint', {
  ...expectAnswer,
  fingerprint: 'bobs-laptop-0002',
});
add(
  'air-gapped',
  'machine file that answers no request',
  'It carries no nonce.',
  licFile(GOOD.machine, 'MACHINE'),
  'wrong_nonce',
  expectAnswer,
);
add('air-gapped', 'validation token for an answer', 'It has the nonce, and another typ.', GOOD.validation, 'wrong_type', expectAnswer);
add('air-gapped', 'answer for a validation token', 'It has the nonce, and another typ.', GOOD.answer, 'wrong_type', EXPECT.validation);
add(
  'air-gapped',
  'answer with another nonce',
  'Written again; the signature is that of the genuine one.',
  changed('answer', { nonce: 'b8d1c7' }),
  'bad_signature',
  { ...expectAnswer, nonce: 'b8d1c7' },
);
add('air-gapped', 'answer at exp', 'Carried for too long.', answer, 'expired', { ...expectAnswer, now: CLAIMS.answer.exp });

// ---- Bit flips -------------------------------------------------------------------------------------------------------------------

/** What a header is refused for; its signature does not fit it whatever it says. */
function reasonOf(header) {
  let said;
  try {
    said = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header));
  } catch {
    return 'malformed';
  }
  if (said.alg !== 'EdDSA') return 'wrong_algorithm';
  if (said.typ !== TYPES.validation) return 'wrong_type';
  return said.kid === KEYS.live.kid ? 'bad_signature' : 'unknown_key';
}
const PARTS = ['header', 'payload', 'signature'];
const decoded = parts.map((part) => Buffer.from(part, 'base64url'));
for (const [index, step] of [1, 12, 1].entries()) {
  for (let at = 0; at < decoded[index].length; at += step) {
    const bit = (at / step) % 8;
    const flipped = Buffer.from(decoded[index]);
    flipped[at] ^= 1 << bit;
    const document = parts.with(index, base64url(flipped)).join('.');
    const reason = index === 0 ? reasonOf(flipped) : 'bad_signature';
    add('bit-flips', `${PARTS[index]} byte ${at} bit ${bit}`, 'One bit of the bytes.', document, reason, EXPECT.validation);
  }
}
const tag = encrypt(GOOD.license, lock.license, 'license iv').split('.');
const jweBytes = tag.map(bytes);
for (const [index, name] of [
  [2, 'iv'],
  [3, 'text'],
  [4, 'tag'],
]) {
  for (let at = 0; at < jweBytes[index].length; at += index === 3 ? 61 : 3) {
    const flipped = Buffer.from(jweBytes[index]);
    flipped[at] ^= 1 << (at % 8);
    const document = tag.with(index, base64url(flipped)).join('.');
    add('bit-flips', `encrypted: ${name} byte ${at} bit ${at % 8}`, 'One bit of the bytes.', document, 'cannot_decrypt', expectLicense);
  }
}

// ---- Written ---------------------------------------------------------------------------------------------------------------------

/** One vector a line: a change of one is a change of one line. */
const lineByLine = (all) => `[\n${all.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`;
export const files = { 'keys.json': `${JSON.stringify(keySets, null, 2)}\n` };
for (const [name, vectors] of Object.entries(byFile)) {
  // A name says which vector is meant, in whatever list the results are.
  files[`${name}.json`] = lineByLine(vectors.map((vector) => ({ ...vector, name: `${name}: ${vector.name}` })));
}
if (process.argv[1] === import.meta.filename) {
  for (const [name, content] of Object.entries(files)) writeFileSync(new URL(name, import.meta.url), content);
}
