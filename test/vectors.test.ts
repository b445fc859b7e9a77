import { spawn, spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { documentTypes } from '../src/domain/signed-documents.js';

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
      const expected = Object.fromEntries(vectors.map((vector) => [vector.name, vector.result]));
      expect(Object.keys(expected)).toHaveLength(vectors.length);
      // As it is run by hand.
      expect(JSON.parse(await run(command!, [name, ...FILES], ''))).toEqual(expected);
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
