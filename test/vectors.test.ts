import { spawn, spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
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

const verifiers = [
  {
    name: 'verify.mjs',
    command: process.execPath,
    args: ['--input-type=module', '-'],
    /** As it is run by hand, but from standard input, where a changed one can be run too. */
    prepared: (source: string) => source.replace('process.argv[1] === import.meta.filename', 'true'),
    without: (source: string, reason: string) => source.replaceAll(`throw new Refused('${reason}')`, '{}'),
    /** Takes the first key where none has the kid. */
    anyKey: (source: string) => source.replace('({ kid }) => kid === header.kid', '() => true'),
  },
  {
    name: 'verify.py',
    command: python,
    args: ['-'],
    prepared: (source: string) => source.replace('Path(__file__).with_name("keys.json")', 'Path("keys.json")'),
    without: (source: string, reason: string) => source.replaceAll(new RegExp(`raise Refused\\("${reason}"\\)( from None)?`, 'g'), 'pass'),
    anyKey: (source: string) => source.replace('if key["kid"] == header.get("kid")', ''),
  },
];

/** What a program says that reads the verifier's source from standard input and the vectors from files. */
async function run(command: string, args: string[], source: string): Promise<Results> {
  const child = spawn(command, args, { cwd: FOLDER, stdio: ['pipe', 'pipe', 'pipe'] });
  let printed = '';
  let complaints = '';
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
  child.stdin.end(source);
  const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  if (code !== 0) throw new Error(complaints);
  return JSON.parse(printed) as Results;
}

for (const { name, command, args, prepared, without, anyKey } of verifiers) {
  if (command === undefined) {
    process.stdout.write(`!! ${name} IS NOT TESTED: no Python with python3-jwt and python3-cryptography (Debian's packages) was found.\n`);
  }
  (command === undefined ? describe.skip : describe)(name, () => {
    const source = prepared(read(name));
    /** Those that a changed verifier accepts and should not. */
    const passedBy = async (changed: string, files = FILES): Promise<string[]> => {
      expect(changed).not.toBe(source);
      const results = await run(command!, [...args, ...files], changed);
      return vectorsOf(files)
        .filter((vector) => reasonOf(vector) !== null && 'claims' in results[vector.name]!)
        .map((vector) => vector.name);
    };
    const refusedFor = (reason: string, files = FILES): string[] =>
      vectorsOf(files)
        .filter((vector) => reasonOf(vector) === reason)
        .map((vector) => vector.name);

    it('says of every vector what it says of itself', async () => {
      const expected = Object.fromEntries(vectors.map((vector) => [vector.name, vector.result]));
      expect(Object.keys(expected)).toHaveLength(vectors.length);
      expect(await run(command!, [...args, ...FILES], source)).toEqual(expected);
    });

    it.each([
      'wrong_issuer',
      'wrong_audience',
      'wrong_environment',
      'expired',
      'wrong_license',
      'wrong_product',
      'wrong_nonce',
      'wrong_fingerprint',
    ])('without the check for %s, all vectors for it would pass, and no others', async (reason) => {
      const files = FILES.slice(0, 4);
      expect(await passedBy(without(source, reason), files)).toEqual(refusedFor(reason, files));
    });

    it('without the check of typ, one kind would pass for another', async () => {
      const passed = await passedBy(without(source, 'wrong_type'), FILES.slice(0, 4));
      expect(refusedFor('wrong_type')).toEqual(expect.arrayContaining(passed));
      const fitting = [
        'validation for license',
        'validation for machine',
        'license for validation',
        'machine for validation',
        'machine for license',
      ];
      expect(passed).toEqual(expect.arrayContaining(fitting.map((pair) => `files: ${pair}`)));
    });

    it('without the signature, whatever was changed would pass', async () => {
      const passed = await passedBy(without(source, 'bad_signature'));
      expect(refusedFor('bad_signature')).toEqual(expect.arrayContaining(passed));
      expect(passed.filter((one) => /stretched|swapped|S \+ L|bit-flips/.test(one)).length).toBeGreaterThan(50);
    });

    it('without kid, what a key signed would pass under any name', async () => {
      const passed = await passedBy(anyKey(source), FILES.slice(0, 1));
      const another = 'tokens: kid of another key of the set';
      expect([another, ...refusedFor('unknown_key')]).toEqual(expect.arrayContaining(passed));
      expect(passed).toEqual(expect.arrayContaining([another, 'tokens: no kid']));
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
