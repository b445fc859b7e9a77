import { spawn, spawnSync } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { documentTypes } from '../src/domain/signed-documents.js';
import { sharedServer } from './support/shared-server.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** The vectors of docs/offline.md: two verifiers, written apart, say of each what it says of itself. */

interface Vector {
  name: string;
  document: string;
  keySet: string;
  expect: { kind: string; fingerprint?: string };
  result: { claims: object } | { refused: string } | { request: string };
}
type Results = Record<string, Vector['result']>;

const FOLDER = fileURLToPath(new URL('vectors/', import.meta.url));
const FILES = ['tokens.json', 'files.json', 'encrypted.json', 'air-gapped.json', 'bit-flips.json'];
const read = (file: string): string => readFileSync(`${FOLDER}${file}`, 'utf8');
const vectorsOf = (files: string[]): Vector[] => files.flatMap((file) => JSON.parse(read(file)) as Vector[]);
const vectors = vectorsOf(FILES);
const reasonOf = ({ result }: Vector): string | null => ('refused' in result ? result.refused : null);
const named = (name: string): Vector => vectors.find((vector) => vector.name === name)!;

/** Debian's packages are for Debian's Python, which need not be the first in PATH. */
const python = ['/usr/bin/python3', 'python3'].find((command) => spawnSync(command, ['-c', 'import jwt, cryptography']).status === 0);

const CLAIM_CHECKS =
  'wrong_issuer wrong_audience wrong_environment expired wrong_license wrong_product wrong_nonce wrong_fingerprint'.split(' ');

/**
 * Each as it is, and with one of its checks taken out, in one process: `program` reads `{sources, files}` and prints, for each source,
 * what it says of the vectors.
 */
const verifiers = [
  {
    name: 'verify.mjs',
    command: process.execPath,
    args: ['--input-type=module', '-e'],
    program: `
      const { sources, files } = JSON.parse((await import('node:fs')).readFileSync(0, 'utf8'));
      const { keys, vectors } = files;
      const said = {};
      for (const [name, source] of Object.entries(sources)) {
        const text = source.replace("'jose'", JSON.stringify(import.meta.resolve('jose'))) + 'export { resultOf };';
        const { resultOf } = await import('data:text/javascript,' + encodeURIComponent(text));
        said[name] = {};
        for (const vector of vectors) said[name][vector.name] = await resultOf(vector, keys);
      }
      process.stdout.write(JSON.stringify(said));`,
    without: (source: string, reason: string) => source.replaceAll(`throw new Refused('${reason}')`, '{}'),
    /** Takes the first key, whatever its name. */
    anyKey: (source: string) => source.replace('({ kid }) => kid === header.kid', '() => true'),
  },
  {
    name: 'verify.py',
    command: python,
    args: ['-c'],
    program: `
import json, sys
asked = json.load(sys.stdin)
said = {}
for name, source in asked["sources"].items():
    module = {"__name__": "verifier"}
    exec(compile(source, name, "exec"), module)
    said[name] = {vector["name"]: module["result_of"](vector, asked["files"]["keys"]) for vector in asked["files"]["vectors"]}
print(json.dumps(said))`,
    without: (source: string, reason: string) => source.replaceAll(new RegExp(`raise Refused\\("${reason}"\\)( from None)?`, 'g'), 'pass'),
    anyKey: (source: string) => source.replace('if key["kid"] == header.get("kid")', ''),
  },
];

/** What a program prints that is given this to read. */
async function run(command: string, args: string[], input: string, cwd = FOLDER): Promise<string> {
  const child = spawn(command, args, { cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  let printed = '';
  let complaints = '';
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
  child.stdin.end(input);
  const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  if (code !== 0) throw new Error(complaints);
  return printed;
}

for (const { name, command, args, program, without, anyKey } of verifiers) {
  if (command === undefined) {
    process.stdout.write(`!! ${name} IS NOT TESTED: no Python with python3-jwt and python3-cryptography (Debian's packages) was found.\n`);
  }
  (command === undefined ? describe.skip : describe)(name, () => {
    const source = read(name);
    const changed: Record<string, string> = { anyKey: anyKey(source) };
    for (const reason of [...CLAIM_CHECKS, 'wrong_type', 'bad_signature']) changed[reason] = without(source, reason);
    let said: Record<string, Results>;
    /** What a verifier with this change accepts and should not. */
    const passedWithout = (check: string): string[] =>
      vectors.filter((vector) => reasonOf(vector) !== null && 'claims' in said[check]![vector.name]!).map((vector) => vector.name);
    const refusedFor = (reason: string): string[] => vectors.filter((vector) => reasonOf(vector) === reason).map((vector) => vector.name);

    beforeAll(async () => {
      const files = { keys: JSON.parse(read('keys.json')), vectors };
      said = JSON.parse(await run(command!, [...args, program, 'program'], JSON.stringify({ sources: changed, files }))) as typeof said;
    });

    it('says of every vector what it says of itself', async () => {
      expect(new Set(vectors.map((vector) => vector.name)).size).toBe(vectors.length);
      // As it is run by hand.
      const all = `${String(vectors.length)} passed, 0 failed\n`;
      expect(await run(command!, [name], '')).toBe(all);
      expect(await run(command!, [name, ...FILES], '')).toBe(all);
    });

    it('tells of a vector that says something else, and ends with 1', () => {
      const folder = mkdtempSync(join(tmpdir(), 'latchkey-vectors-'));
      const [first, second] = vectors;
      writeFileSync(join(folder, 'odd.json'), JSON.stringify([first, { ...second, result: { refused: 'expired' } }]));
      const { status, stdout } = spawnSync(command!, [name, join(folder, 'odd.json')], { cwd: FOLDER, encoding: 'utf8' });
      rmSync(folder, { recursive: true });
      expect([status, stdout]).toEqual([1, expect.stringMatching(new RegExp(`^FAIL ${second!.name}\\n[^]*\\n1 passed, 1 failed\\n$`))]);
    });

    it.each(CLAIM_CHECKS)('without the check for %s, all vectors for it would pass, and no others', (reason) => {
      expect(changed[reason]).not.toBe(source);
      expect(refusedFor(reason).length).toBeGreaterThan(0);
      expect(passedWithout(reason)).toEqual(refusedFor(reason));
    });

    it('without the check of typ, one kind would pass for another', () => {
      const passed = passedWithout('wrong_type');
      expect(refusedFor('wrong_type')).toEqual(expect.arrayContaining(passed));
      // But for a license where a machine is expected: it has no fingerprint.
      const fitting = [
        'validation for license',
        'validation for machine',
        'license for validation',
        'machine for validation',
        'machine for license',
      ];
      expect(passed).toEqual(expect.arrayContaining(fitting.map((pair) => `files: ${pair}`)));
    });

    it('without the signature, whatever was changed would pass', () => {
      const passed = passedWithout('bad_signature');
      expect(refusedFor('bad_signature')).toEqual(expect.arrayContaining(passed));
      expect(passed.filter((one) => /stretched|swapped|S \+ L|bit-flips/.test(one)).length).toBeGreaterThan(50);
    });

    it('without kid, what a key signed would pass under any name', () => {
      const another = 'tokens: kid of another key of the set';
      expect([another, ...refusedFor('unknown_key')]).toEqual(expect.arrayContaining(passedWithout('anyKey')));
      expect(passedWithout('anyKey')).toEqual(expect.arrayContaining([another, 'tokens: no kid']));
    });
  });
}

describe('the vectors', () => {
  it('are what the generator makes', async () => {
    const generator = String(new URL('vectors/generate.mjs', import.meta.url));
    const { files } = (await import(generator)) as { files: Record<string, string> };
    expect(Object.keys(files).sort()).toEqual(['keys.json', ...FILES].sort());
    for (const [file, content] of Object.entries(files)) expect(read(file) === content ? file : `${file} is not`).toBe(file);
  });

  it('are as many as their page says', () => {
    const page = readFileSync(new URL('../docs/offline.md', import.meta.url), 'utf8');
    expect(page).toContain(`[test/vectors](../test/vectors): ${String(vectors.length)} `);
  });

  it('have the types of the server', () => {
    const typeIn = ({ document }: Vector): unknown => JSON.parse(Buffer.from(document.split('.')[0]!, 'base64url').toString()).typ;
    expect(typeIn(named('tokens: validation'))).toBe(documentTypes.validation);
    expect(typeIn(named('files: license'))).toBe(documentTypes.license);
    expect(typeIn(named('files: machine'))).toBe(documentTypes.machine);
  });

  it('of HMACs are good ones, for whoever lets the header choose', () => {
    const [key] = (JSON.parse(read('keys.json')) as { live: { keys: { x: string }[] } }).live.keys;
    const raw = Buffer.from(key!.x, 'base64url');
    const pem = `-----BEGIN PUBLIC KEY-----\n${Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]).toString('base64')}\n-----END PUBLIC KEY-----\n`;
    for (const [form, secret] of Object.entries({ raw, hex: raw.toString('hex'), PEM: pem })) {
      const { document } = named(`tokens: HS256 with the public key, ${form}`);
      const [header, payload, signature] = document.split('.');
      expect(createHmac('sha256', secret).update(`${header!}.${payload!}`).digest('base64url')).toBe(signature);
    }
  });

  it('of S + L are the genuine signature modulo L', () => {
    const scalarOf = (name: string): bigint => {
      const signature = Buffer.from(named(name).document.split('.')[2]!, 'base64url');
      return BigInt(`0x${signature.subarray(32).reverse().toString('hex')}`);
    };
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    expect(scalarOf('tokens: signature with S + L') - scalarOf('tokens: validation')).toBe(order);
  });
});

describe('what the server signs', () => {
  const NONCE = 'f3a9c1d27e6b4058';
  const FINGERPRINT = 'adas-laptop-0001';
  let real: Vector[];
  let keys: { real: object };

  /** The members at each path, and what kind of value they have: what a verifier in another language would declare. */
  const shapeOf = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
    if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value;
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, name === 'metadata' ? 'object' : shapeOf(member)]));
  };
  const claimsIn = (document: string): object => JSON.parse(Buffer.from(document.split('.')[1]!, 'base64url').toString());

  beforeAll(async () => {
    const vendor = await Vendor.signUp(sharedServer().url);
    await vendor.entitlement('export-pdf');
    const product = await vendor.product({ code: 'acme-editor' });
    const rules = {
      requireFingerprint: false,
      offlineAllowed: true,
      offlineMaxDays: 30,
      maxMachines: 2,
      productId: product.id,
      durationDays: 365,
    };
    const license = await vendor.licenseUnder(rules, { name: 'Ada, editor', userName: 'Ada Lovelace', userEmail: 'ada@example.com' });
    expectStatus(await vendor.api.post(`/licenses/${license.id}/entitlements`, { codes: ['export-pdf'] }), 200);
    const about = { name: "Ada's laptop", platform: 'linux' };
    const machine = await vendor.activate(license, FINGERPRINT, about);
    const { token } = await vendor.validate(license, { fingerprint: FINGERPRINT, nonce: NONCE });
    const checkOut = async (route: string, fields: object = {}): Promise<string> =>
      expectStatus(await vendor.app(license).post(`${route}/check-out`, fields), 200).body.data.document;
    // The request is what both verifiers would write.
    const make = { licenseKey: license.key, fingerprint: FINGERPRINT, ...about, nonce: NONCE };
    const keyDigest = createHash('sha256').update(license.key).digest('hex');
    const request = Buffer.from(JSON.stringify({ v: 1, keyDigest, fingerprint: FINGERPRINT, ...about, nonce: NONCE })).toString('base64');
    const answer = expectStatus(await vendor.api.post('/machines/offline-requests', { request }), 200).body.data.document;
    const download = await fetch(`${sharedServer().url}/api/v1/machines/${machine.id}/check-out?encrypt=true`, {
      headers: { authorization: `License ${license.key}` },
    });
    const file = await download.text();

    keys = {
      real: await fetch(`${sharedServer().url}/.well-known/jwks.json?account=${vendor.account.id}`).then(
        (reply) => reply.json() as Promise<object>,
      ),
    };
    const here = { audience: vendor.account.id, environment: 'live', now: Math.floor(Date.now() / 1000), license: license.id };
    const ofMachine = { kind: 'machine', ...here, fingerprint: FINGERPRINT, licenseKey: license.key, product: 'acme-editor' };
    const vector = (name: string, document: string, expectation: Vector['expect'], like: string): Vector & { like: string } => ({
      name,
      document,
      keySet: 'real',
      expect: expectation,
      result: { claims: document.startsWith('ey') && document.split('.').length === 3 ? claimsIn(document) : {} },
      like,
    });
    const lifted = { ...ofMachine, kind: 'license', fingerprint: undefined };
    real = [
      vector(
        'token',
        token,
        { kind: 'validation', ...here, nonce: NONCE, fingerprint: FINGERPRINT } as Vector['expect'],
        'tokens: validation',
      ),
      vector('license', await checkOut(`/licenses/${license.id}`), lifted, 'files: license'),
      vector('machine', await checkOut(`/machines/${machine.id}`), ofMachine, 'files: machine'),
      vector('encrypted', await checkOut(`/licenses/${license.id}`, { encrypt: true }), lifted, 'encrypted: license'),
      vector('answer', answer, { ...ofMachine, nonce: NONCE } as Vector['expect'], 'air-gapped: answer'),
      vector('file', file, ofMachine, 'files: machine file'),
      { name: 'request', make, result: { request } } as unknown as Vector,
    ];
  });

  it.each(verifiers.filter(({ command }) => command !== undefined))('is what the vectors show, says $name', async (verifier) => {
    const input = { sources: { it: read(verifier.name) }, files: { keys, vectors: real } };
    const printed = await run(verifier.command!, [...verifier.args, verifier.program, 'program'], JSON.stringify(input));
    const said = (JSON.parse(printed) as { it: Results }).it;
    for (const { name, result, like } of real as (Vector & { like?: string })[]) {
      if (like === undefined) expect(said[name]).toEqual(result);
      else expect([name, shapeOf(said[name])]).toEqual([name, shapeOf(named(like).result)]);
    }
  });
});
