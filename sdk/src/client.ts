import { type Binding, type Proof, verifyDocument } from './documents.js';
import { randomId, toBase64 } from './encoding.js';
import { ApiError, demand, LatchkeyError, ProofError, UnreachableError } from './errors.js';
import { openFile } from './files.js';
import { Heartbeats, type HeartbeatOptions } from './heartbeats.js';
import { judge, judgeAnswer, newestOf, nothing, type Question, withAnswer, withFile } from './judge.js';
import { type Jwks, PublicKeys } from './keys.js';
import { keyDigest } from './license-key.js';
import { kidsOf, Memories } from './memory.js';
import { type ClientOptions, readOptions, type Settings } from './options.js';
import { type Call, LONGEST_WAIT_MS, Transport } from './transport.js';
import type { ActivateBody, Machine, Platform, ValidationBody } from './types.js';
import { problemOf, questionOf, type ServerProblem, toValidation, type ValidateOptions, type Validation } from './validation.js';

export interface ActivateOptions extends Omit<ActivateBody, 'licenseId' | 'fingerprint'> {
  signal?: AbortSignal;
}

export interface CheckOutOptions {
  /**
   * Default `machine` when the client has a fingerprint, else `license`: which a license key gets only where its policy does
   * not require a fingerprint (else ApiError `LICENSE_NOT_VALID`, `details.code` `FINGERPRINT_REQUIRED`).
   */
  kind?: 'license' | 'machine';
  /** How long the file is to be good: 3,600 … the policy's longest, which is the default. */
  ttlSeconds?: number;
  /** The file can only be read with the license key (and this machine's fingerprint). */
  encrypt?: boolean;
  signal?: AbortSignal;
}

/** As the server takes them: it would refuse the request only after somebody has carried it there. */
const NAME = /^(?![^]*[\0\ud800-\udfff])[^]*$/u;
const PLATFORMS: readonly Platform[] = ['macos', 'windows', 'linux', 'docker', 'kubernetes', 'other'];

/** Makes a client for one license on this machine. Fails with a LatchkeyError `invalid_options` for what cannot work. */
export function createClient(options: ClientOptions): LatchkeyClient {
  return new LatchkeyClient(readOptions(options));
}

/** See `createClient`. */
export class LatchkeyClient {
  private readonly transport: Transport;
  private memories: Promise<Memories> | null = null;
  private heartbeats: Heartbeats | null = null;

  /** Not for apps: `createClient` checks what it is given. */
  constructor(private readonly settings: Settings) {
    this.transport = new Transport(settings);
  }

  /**
   * Asks the server, believes nothing that it does not prove, and goes on with what it proved before while that lasts.
   * Answers always; fails only when `signal` is aborted.
   */
  async validate(options: ValidateOptions = {}): Promise<Validation> {
    const startedAt = performance.now();
    const question = await questionOf(options, this.settings.fingerprint);
    // A store takes its time while the server does.
    void this.recall().catch(() => undefined);
    const nonce = `${randomId()}.${question.scope}`;
    const asked = await this.ask(options, nonce, question.fingerprint);
    if (!('proof' in asked)) return this.fallBack(question, asked.problem, asked.body);
    const { proof, body } = asked;
    await this.change((memory) => ({ ...memory, held: withAnswer(memory.held, proof) }), startedAt);
    return toValidation(judgeAnswer(proof, question), null, body, true);
  }

  /** The same question without the server: what is kept, and nothing else. */
  async verifyOffline(options: Omit<ValidateOptions, 'signal'> = {}): Promise<Validation> {
    return this.fallBack(await questionOf(options, this.settings.fingerprint), null, null);
  }

  /**
   * Takes a seat for this machine; again for the same machine is the same seat. Fails with ApiError
   * (`MACHINE_LIMIT_EXCEEDED` with `details.machines`, `LICENSE_SUSPENDED`, …) or UnreachableError.
   */
  async activate({ signal, ...fields }: ActivateOptions = {}): Promise<Machine> {
    const body = { ...fields, fingerprint: this.fingerprint() };
    const machine = await this.asLicense<Machine>({
      method: 'POST',
      path: '/api/v1/machines',
      body,
      // One for all tries: a seat that was taken, and whose answer was lost, is not taken again.
      headers: { 'idempotency-key': randomId() },
      signal,
    });
    await this.change((memory) => ({ ...memory, machineId: machine.id }));
    return machine;
  }

  /**
   * Gives this machine's seat back, and forgets what was kept for going on without the server. False = it had none.
   * Ends the heartbeats. Fails with ApiError or UnreachableError; then nothing is forgotten.
   */
  async deactivate({ signal }: { signal?: AbortSignal } = {}): Promise<boolean> {
    this.stopHeartbeat();
    const id = await this.findMachine(signal);
    if (id !== null) {
      await this.asLicense({ method: 'DELETE', path: `/api/v1/machines/${id}`, signal }).catch(unlessGone);
    }
    await this.change((memory) => ({ ...memory, machineId: null, held: { ...nothing, newest: memory.held.newest } }));
    return id !== null;
  }

  /** One beat: the machine, with `nextHeartbeatAt`. Fails with ApiError (`MACHINE_DEAD`, …) or UnreachableError. */
  async heartbeat({ signal }: { signal?: AbortSignal } = {}): Promise<Machine> {
    const id = await this.machineId(signal);
    try {
      return await this.asLicense<Machine>({ method: 'POST', path: `/api/v1/machines/${id}/heartbeat`, signal });
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) await this.change((memory) => ({ ...memory, machineId: null }));
      throw error;
    }
  }

  /** Beats until it is stopped, or the machine is lost; a loop that runs already is replaced. Answers what stops it. */
  startHeartbeat(options: HeartbeatOptions = {}): () => void {
    const { intervalMs } = options;
    demand(intervalMs === undefined || intervalMs > 0, 'intervalMs is no number of milliseconds');
    this.stopHeartbeat();
    const loop = new Heartbeats((signal) => this.heartbeat({ signal }), this.settings, options);
    this.heartbeats = loop;
    loop.start();
    return () => {
      loop.stop();
    };
  }

  stopHeartbeat(): void {
    this.heartbeats?.stop();
    this.heartbeats = null;
  }

  /**
   * Fetches a file to go offline with, checks and keeps it. Fails with ApiError (`OFFLINE_NOT_ALLOWED`, `LICENSE_NOT_VALID` for a
   * license file under a policy that requires a fingerprint, …) or ProofError.
   */
  async checkOut({ kind, ttlSeconds, encrypt, signal }: CheckOutOptions = {}): Promise<Proof<'license' | 'machine'>> {
    const ofMachine = (kind ?? (this.settings.fingerprint === null ? 'license' : 'machine')) === 'machine';
    const owner = ofMachine ? `machines/${await this.machineId(signal)}` : `licenses/${await this.licenseId(signal)}`;
    const { document } = await this.asLicense<{ document: unknown }>({
      method: 'POST',
      path: `/api/v1/${owner}/check-out`,
      body: { ...(ttlSeconds !== undefined && { ttlSeconds }), ...(encrypt !== undefined && { encrypt }) },
      headers: { 'idempotency-key': randomId() },
      signal,
    });
    return this.keepFile(String(document), signal);
  }

  /**
   * Takes in a `.lic` file, or its compact text, that came by hand. The answer to an offline request is taken only if
   * this machine made that request, and no later one. A file that is older than the one that is kept, and has not ended, is
   * checked and not kept. Fails with ProofError; then what was kept stays.
   */
  async importFile(text: string, { signal }: { signal?: AbortSignal } = {}): Promise<Proof<'license' | 'machine'>> {
    return this.keepFile(text, signal);
  }

  /** The text of a request file for a machine without a network: someone takes it to the vendor, and brings a `.lic` back. */
  async offlineRequest(about: { name?: string; platform?: Platform } = {}): Promise<string> {
    const fingerprint = this.fingerprint();
    const { name, platform, ...others } = about;
    const [unknown] = Object.keys(others);
    demand(unknown === undefined, `There is no field ${unknown ?? ''} in an offline request`);
    demand(name === undefined || (name.length > 0 && name.length <= 255 && NAME.test(name)), 'name is not a text of 1 to 255 characters');
    demand(platform === undefined || PLATFORMS.includes(platform), `platform is none of ${PLATFORMS.join(', ')}`);
    const { licenseKey } = this.settings;
    const nonce = randomId();
    await this.change((memory) => ({ ...memory, requestNonce: nonce }));
    return toBase64(JSON.stringify({ v: 1, keyDigest: await keyDigest(licenseKey), fingerprint, name, platform, nonce }));
  }

  /** Forgets everything that is kept: then nothing is valid until the server has answered, or a file was imported. */
  async forget(): Promise<void> {
    await this.change((memory) => ({ ...memory, held: nothing, machineId: null, requestNonce: null }));
  }

  private async ask(
    { signal, fingerprints, ...question }: ValidateOptions,
    nonce: string,
    about: string | null,
  ): Promise<{ proof: Proof<'validation'>; body: ValidationBody } | { problem: ServerProblem; body: ValidationBody | null }> {
    const { account, fingerprint, licenseKey } = this.settings;
    const named = { ...(fingerprint !== null && { fingerprint }), ...(fingerprints?.length && { fingerprints }) };
    const body = { ...question, ...named, key: licenseKey, account, nonce };
    let answer: ValidationBody | null = null;
    try {
      answer = dataOf(await this.transport.call({ method: 'POST', path: '/api/v1/licenses/validate-key', body, signal })) as ValidationBody;
      const { token } = answer as { token?: unknown };
      if (typeof token !== 'string') {
        return { problem: problemOf('proof_missing', unproven(answer), null, answer), body: answer };
      }
      return { proof: await this.verifyAnswer(token, nonce, about, signal), body: answer };
    } catch (error) {
      if (signal?.aborted === true || !(error instanceof LatchkeyError)) throw error;
      if (error instanceof ProofError) return { problem: problemOf('proof_invalid', error.message, error, answer), body: answer };
      const isRefusal = error instanceof ApiError && error.status < 500 && error.status !== 429;
      return { problem: problemOf(isRefusal ? 'proof_missing' : 'unreachable', error.message, error, answer), body: answer };
    }
  }

  private async verifyAnswer(token: string, nonce: string, about: string | null, signal?: AbortSignal): Promise<Proof<'validation'>> {
    const proof = await this.withKeys(
      (keys, binding) => verifyDocument(token, ['validation'], keys, { ...binding, fingerprint: about }),
      signal,
    );
    if (proof.claims.nonce !== nonce) throw new ProofError('wrong_nonce', 'It answers another question.');
    return proof;
  }

  private async keepFile(text: string, signal?: AbortSignal): Promise<Proof<'license' | 'machine'>> {
    const { licenseKey, clock, clockToleranceMs } = this.settings;
    const file = await this.withKeys((keys, binding) => openFile(text, keys, { ...binding, licenseKey }), signal);
    const { held, requestNonce } = await this.recall();
    const nonce = file.kind === 'machine' ? file.claims.nonce : undefined;
    if (nonce !== undefined && nonce !== requestNonce) throw new ProofError('wrong_nonce', 'It answers a request that was not made here.');
    const { claims } = newestOf<Proof>([held.newest, file]) ?? file;
    if (clock.now() + clockToleranceMs < claims.iat * 1000)
      throw new ProofError('clock_set_back', 'The clock of this machine is set back.');
    if (clock.now() >= file.claims.exp * 1000) throw new ProofError('expired', 'The file has expired.');
    await this.change((memory) => ({ ...memory, held: withFile(memory.held, file, clock.now()) }));
    return file;
  }

  private async fallBack(question: Question, serverProblem: ServerProblem | null, body: ValidationBody | null): Promise<Validation> {
    const { clock, clockToleranceMs } = this.settings;
    return toValidation(judge((await this.recall()).held, question, clock.now(), clockToleranceMs), serverProblem, body);
  }

  /** Verifies with the keys that are known, and once more with new ones when the document names a key that is not. */
  private async withKeys<T>(verify: (keys: PublicKeys, binding: Binding) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { keys, held } = await this.recall();
    const { account, environment, fingerprint, keys: pinned } = this.settings;
    const binding = { account, environment, fingerprint, licenseId: this.settings.licenseId ?? held.newest?.claims.sub };
    try {
      return await verify(keys, binding);
    } catch (error) {
      if (pinned !== null || !(error instanceof ProofError) || error.problem !== 'unknown_key') throw error;
      return verify(await this.fetchKeys(signal), binding);
    }
  }

  private async fetchKeys(signal?: AbortSignal): Promise<PublicKeys> {
    const { account, environment } = this.settings;
    const path = `/.well-known/jwks.json?account=${encodeURIComponent(account)}&environment=${environment}`;
    const jwks = (await this.transport.call({ method: 'GET', path, signal })) as Jwks | null;
    const fetched = await PublicKeys.of(jwks ?? []).catch((cause: unknown) => {
      throw new UnreachableError('The server has no keys, or talks nonsense.', { cause });
    });
    // What is kept stays readable: a server that shows other keys for a while takes no one's grace away.
    await this.change(async ({ keys, held, ...memory }) => {
      return { ...memory, held, keys: await fetched.with(keys, kidsOf(held)) };
    });
    return fetched;
  }

  private async asLicense<T>(call: Call): Promise<T> {
    const { licenseKey, account } = this.settings;
    const headers = { ...call.headers, authorization: `License ${licenseKey}`, 'x-account-id': account };
    const answer = await this.transport.call({ ...call, headers });
    return (call.method === 'DELETE' ? null : dataOf(answer)) as T;
  }

  private fingerprint(): string {
    const { fingerprint } = this.settings;
    if (fingerprint === null) throw new LatchkeyError('invalid_options', 'The client was made without a fingerprint.');
    return fingerprint;
  }

  private async licenseId(signal?: AbortSignal): Promise<string> {
    const { held } = await this.recall();
    return held.newest?.claims.sub ?? (await this.asLicense<{ id: string }>({ method: 'GET', path: '/api/v1/licenses/me', signal })).id;
  }

  private async machineId(signal?: AbortSignal): Promise<string> {
    const id = await this.findMachine(signal);
    if (id === null) throw new LatchkeyError('not_activated', 'This machine has no seat: activate it first.');
    return id;
  }

  private async findMachine(signal?: AbortSignal): Promise<string | null> {
    const { machineId } = await this.recall();
    if (machineId !== null) return machineId;
    const path = `/api/v1/machines?fingerprint=${encodeURIComponent(this.fingerprint())}`;
    const [machine] = await this.asLicense<Machine[]>({ method: 'GET', path, signal });
    if (machine !== undefined) await this.change((memory) => ({ ...memory, machineId: machine.id }));
    return machine?.id ?? null;
  }

  /** Pinned keys are read once, and a bad one is told at the first call. */
  private memory(): Promise<Memories> {
    this.memories ??= memoriesOf(this.settings);
    return this.memories;
  }

  private async recall() {
    return (await this.memory()).read();
  }

  /** `startedAt` (of `performance.now`): of a call that waits for the store no longer than it may take itself. */
  private async change(make: Parameters<Memories['change']>[0], startedAt = performance.now()): Promise<void> {
    const made = (await this.memory()).change(make);
    const leftMs = this.settings.timeoutMs - (performance.now() - startedAt);
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      made,
      new Promise((resolve) => (timer = setTimeout(resolve, Math.min(Math.max(0, leftMs), LONGEST_WAIT_MS)))),
    ]).finally(() => {
      clearTimeout(timer);
    });
  }
}

async function memoriesOf(settings: Settings): Promise<Memories> {
  const { account, environment, fingerprint, licenseId, licenseKey, store, keys, timeoutMs, onStoreError } = settings;
  return new Memories({
    store,
    licenseKey,
    timeoutMs,
    onStoreError,
    keyDigest: await keyDigest(licenseKey),
    pinned: keys === null ? null : await PublicKeys.of(keys),
    binding: { account, environment, fingerprint, ...(licenseId !== undefined && { licenseId }) },
  });
}

/** For people: what was said may be a lie. */
function unproven({ code, message }: { code?: unknown; message?: unknown }): string {
  const said = [code, message].filter((part) => typeof part === 'string').join(': ');
  return said === '' ? 'The server answered without a proof.' : `The server says without a proof: ${said}`;
}

/** It had no seat any more, or an answer was lost: either way it is given back. */
function unlessGone(error: unknown): void {
  if (!(error instanceof ApiError) || error.status !== 404) throw error;
}

/** What is in the envelope. */
function dataOf(answer: unknown): unknown {
  const data: unknown = typeof answer === 'object' && answer !== null && 'data' in answer ? answer.data : null;
  if (typeof data !== 'object' || data === null) throw new UnreachableError('The server talks nonsense.');
  return data;
}
