import { HttpStatus, Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { v7 as uuidv7 } from 'uuid';
import type { TenantPrincipal } from '../auth/principal.js';
import { Answer } from '../core/answer.interceptor.js';
import { type Change, recordChanges } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { Metrics } from '../core/metrics.js';
import { RateLimits } from '../core/rate-limits.js';
import { hold } from '../core/segment.js';
import { type Activation, type Credential, decideActivation, type SeatedPulse } from '../domain/activation.js';
import { invalid, type LatchkeyError, notFound } from '../domain/errors.js';
import { clockStartedBy } from '../domain/expiry.js';
import { MINUTE_MS } from '../domain/heartbeat.js';
import { recordStartedTerm } from '../licenses/term.query.js';
import {
  FIND_SEATS,
  findDead,
  findSeats,
  holdDead,
  type Seats,
  seatsAsked,
  type SeatsRow,
  takeSeatUnlessChanged,
  tellLimitReached,
  toSeats,
  type Wanted,
  writeSeats,
} from './activation.query.js';
import {
  type ActivateMachineBody,
  type ActivateMachineQuery,
  type MachineRow,
  type MachineView,
  toMachineColumns,
  toMachineView,
} from './machines.dto.js';
import { deactivate, FIND_OFFERED, limitExceeded, type OfferedMachine, totalsOf } from './machines.query.js';

/** Of how many licenses it is remembered that their limit was told. */
const REMEMBERED = 10_000;

/** Who wants which seat. */
interface Wish {
  tenant: Tenant;
  credential: Credential;
  licenseId: string;
  /** Field of the body that names the license; undefined = the credential does. */
  field: string | undefined;
  body: ActivateMachineBody;
  replaces: string | undefined;
  ip: string;
}

/** What was found, and what it comes to. */
interface Judged extends Seats {
  now: Date;
  dead: SeatedPulse[];
  activation: Activation;
}

type Outcome = Answer<MachineView> | Refusal;

/** What is done in the transaction that activates, with the machine that has the seat then: when it throws, nobody is activated. */
export type Alongside = (db: Db, machineId: string) => Promise<void>;

type Refused = Extract<Activation, { outcome: 'refused' }>;

interface Refusal {
  judged: Judged;
  passed: Refused;
  /** When it was told, by whomever, in the license's time; null = it was not, or another is just telling it. */
  toldAt: Date | null;
}

/** Seats are taken here (docs/decisions/0005-seats.md). */
@Injectable()
export class ActivationService {
  /** When it was last told that the limit of a license was reached; spares refusals the question. */
  private readonly told = new LRUCache<string, Date>({ max: REMEMBERED });

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly rateLimits: RateLimits,
    private readonly metrics: Metrics,
  ) {}

  /**
   * 201 for a new seat, 200 for the one that the fingerprint holds already, 422 when none is left or the fingerprint is
   * active elsewhere. Exact under any concurrency: whoever takes a seat holds the license's row until it is counted; who
   * gets none, or has one, waits for nobody. 429 for a license that is tried too often.
   */
  activate(
    caller: TenantPrincipal,
    body: ActivateMachineBody,
    { dryRun = false }: ActivateMachineQuery,
    ip: string,
    alongside?: Alongside,
  ): Promise<Answer<MachineView>> {
    const seated = this.seat(caller, body, dryRun, ip, alongside);
    return dryRun ? seated : this.metrics.counting(this.metrics.activations, seated, outcomeOf);
  }

  private async seat(
    caller: TenantPrincipal,
    body: ActivateMachineBody,
    dryRun: boolean,
    ip: string,
    alongside: Alongside | undefined,
  ): Promise<Answer<MachineView>> {
    const wish = wishOf(caller, body, ip);
    // Of the caller's environment: naming another's license uses up nothing of theirs. Trying has a window of its own.
    const window = `${wish.tenant.environmentId}:${wish.licenseId}${dryRun ? ':dry' : ''}`;
    await this.rateLimits.admit('activate', window);
    const seen = await this.look(wish);
    const isSettled = seen.activation.outcome !== 'refused' && (dryRun || !isChange(seen.activation));
    if (isSettled && alongside === undefined) return answerTo(wish, seen);
    if (seen.activation.outcome === 'refused' && !takesOver(seen) && (dryRun || this.wasTold(seen)))
      throw await this.limitExceeded(wish, seen, seen.activation);
    const outcome = await this.database.within(wish.tenant, async (db) => {
      const decided = await this.decide(db, wish, seen, dryRun);
      if (decided instanceof Answer) await alongside?.(db, decided.view.id);
      return decided;
    });
    if (outcome instanceof Answer) return outcome;
    const { passed, judged, toldAt } = outcome;
    // Behind the commit: that it was refused is told, too.
    if (toldAt !== null)
      this.database.afterCommit(() => {
        this.told.set(toldAs(judged), toldAt);
      });
    throw await this.limitExceeded(wish, judged, passed);
  }

  /** By a single read, for which nothing is held and no transaction begun. Machines that may be taken over are not looked at. */
  private async look(wish: Wish): Promise<Judged> {
    const [row] = await this.database.lookup<SeatsRow>(FIND_SEATS, seatsAsked(wish.tenant, wantedIn(wish)));
    return this.judge(wish, row === undefined ? null : toSeats(row));
  }

  /** What a look could not settle: a seat is there to be taken, perhaps from the dead, or the refusal is to be told. */
  private async decide(db: Db, wish: Wish, seen: Judged, dryRun: boolean): Promise<Outcome> {
    if (seen.activation.outcome === 'refused') {
      const again = takesOver(seen) ? await this.judgeWithDead(db, wish) : seen;
      if (again.activation.outcome === 'refused') return this.refuse(db, wish, again, again.activation, dryRun);
      if (dryRun || !isChange(again.activation)) return answerTo(wish, again);
    }
    const atOnce = await takeSeatAtOnce(db, wish, seen);
    if (atOnce !== null) return atOnce;
    const { tenant, licenseId, field } = wish;
    await hold(db, tenant, 'license', licenseId, field);
    const held = await this.judgeHeld(db, wish);
    if (held.activation.outcome === 'refused') return this.refuse(db, wish, held, held.activation, dryRun);
    return isChange(held.activation) ? carryOut(db, wish, held, held.activation) : answerTo(wish, held);
  }

  private async judgeWithDead(db: Db, wish: Wish): Promise<Judged> {
    const found = await findSeats(db, wish.tenant, wantedIn(wish));
    const judged = this.judge(wish, found);
    if (judged.activation.outcome !== 'refused' || !takesOver(judged)) return judged;
    return this.judge(wish, found, await findDead(db, judged.license.id, judged.policy, judged.now));
  }

  /** @throws 403, 404, 422 as `decideActivation` */
  private judge({ credential, field, body, replaces }: Wish, seats: Seats | null, dead: SeatedPulse[] = []): Judged {
    if (seats === null) throw notFound('license', field);
    const { license } = seats;
    const now = this.clock.now(seats.testClock);
    const replaced = replaces === undefined ? undefined : seats.replaced;
    const size = { cores: body.cores ?? null, memoryMb: body.memoryMb ?? null, diskMb: body.diskMb ?? null };
    const facts = { ...seats, credential, totals: totalsOf(license), replaced, size, now };
    return { ...seats, now, dead, activation: decideActivation(facts, dead) };
  }

  /** Under the license's lock. A machine that beats meanwhile is not dead any more: then it is judged again without it. */
  private async judgeHeld(db: Db, wish: Wish): Promise<Judged> {
    for (;;) {
      const held = await this.judgeWithDead(db, wish);
      const takenOver = held.activation.outcome === 'granted' ? held.activation.takenOver : [];
      const dead = held.dead.filter(({ id }) => takenOver.includes(id));
      if (dead.length === 0 || (await holdDead(db, wish.tenant, dead))) return held;
    }
  }

  private async refuse(db: Db, { tenant }: Wish, judged: Judged, passed: Refused, dryRun: boolean): Promise<Refusal> {
    const isSilent = dryRun || this.wasTold(judged);
    return { passed, judged, toldAt: isSilent ? null : await tellLimitReached(db, tenant, judged.license, judged.now) };
  }

  /** That the limit of the license was reached, within the last minute of its time, as far as this process knows. */
  private wasTold(judged: Judged): boolean {
    const toldAt = this.told.get(toldAs(judged));
    return toldAt !== undefined && toldAt.getTime() > judged.now.getTime() - MINUTE_MS;
  }

  private async limitExceeded({ tenant }: Wish, { license }: Judged, { passed }: Refused): Promise<LatchkeyError> {
    const machines = await this.database.lookup<OfferedMachine>(FIND_OFFERED, [license.id, tenant.environmentId]);
    return limitExceeded(passed, totalsOf(license), machines);
  }
}

/** A license key activates its own license; an API key says which. Ids as the database spells them. */
function wishOf(caller: TenantPrincipal, body: ActivateMachineBody, ip: string): Wish {
  const { tenant } = caller;
  const named = body.licenseId?.toLowerCase();
  const wish = { tenant, body, replaces: body.replaces?.toLowerCase(), ip };
  if (caller.kind !== 'license') {
    if (named === undefined) throw invalid([{ path: 'licenseId', message: 'is required with an API key' }]);
    return { ...wish, credential: 'apiKey', licenseId: named, field: 'licenseId' };
  }
  if (named !== undefined && named !== caller.licenseId) throw notFound('license', 'licenseId');
  return { ...wish, credential: 'license', licenseId: caller.licenseId, field: undefined };
}

function wantedIn({ licenseId, body, replaces }: Wish): Wanted {
  return { licenseId, fingerprint: body.fingerprint, replaces };
}

/** Whether seats of dead machines can be had. */
function takesOver({ policy }: Judged): boolean {
  return policy.floating && policy.requireHeartbeat;
}

/** Of this clock: the times of another are no measure for its own. */
function toldAs({ license }: Judged): string {
  return `${license.id} ${license.testClockId ?? ''}`;
}

function outcomeOf({ status }: Answer<MachineView>): string {
  return status === HttpStatus.CREATED ? 'created' : 'existing';
}

type Allowed = Exclude<Activation, { outcome: 'refused' }>;

function isChange(activation: Allowed): boolean {
  return activation.outcome === 'granted' || activation.replaced !== null;
}

/** What is answered, with nothing written: the seat that there is, or the one that would be taken. */
function answerTo(wish: Wish, { existing, license, policy, now }: Judged): Answer<MachineView> {
  const { environment } = wish.tenant;
  if (existing !== null) return new Answer(HttpStatus.OK, toMachineView(existing, policy, environment, now));
  return new Answer(HttpStatus.CREATED, toMachineView(newMachine(wish, license, now), policy, environment, now));
}

/**
 * By what was seen before anything was held, where nobody has to go and no term begins: most seats. Null when others have
 * changed it since, and the license is to be held. One that is on a test clock is held: the clock may be turned meanwhile.
 */
async function takeSeatAtOnce(db: Db, wish: Wish, seen: Judged): Promise<Answer<MachineView> | null> {
  const { activation, license, policy, now } = seen;
  if (activation.outcome !== 'granted' || activation.replaced !== null || activation.takenOver.length > 0) return null;
  if (license.testClockId !== null || clockStartedBy('FROM_FIRST_ACTIVATION', license, policy, now) !== null) return null;
  const { pulse, ...machine } = newMachine(wish, license, now);
  const after = toMachineView({ ...machine, pulse }, policy, wish.tenant.environment, now);
  const change = activationOf(machine, after);
  return (await takeSeatUnlessChanged(db, seen, activation.totals, machine, change)) ? new Answer(HttpStatus.CREATED, after) : null;
}

function activationOf({ id, segmentId, licenseId }: Omit<MachineRow, 'pulse'>, after: MachineView): Change {
  return { action: 'machine.activated', resource: { type: 'machine', id, segmentId }, licenseId, after };
}

/** On a license that is held: who has to go goes, who comes gets the seat, and both are told in this order. */
async function carryOut(db: Db, wish: Wish, held: Judged, activation: Allowed): Promise<Answer<MachineView>> {
  const { license, policy, testClock, now } = held;
  const { tenant } = wish;
  const takenOver = activation.outcome === 'granted' ? activation.takenOver : [];
  const replaced = activation.replaced === null ? [] : [activation.replaced];
  const gone = [
    ...(await deactivate(db, tenant.environment, held, takenOver, now)),
    ...(await deactivate(db, tenant.environment, held, replaced, now)),
  ];
  if (activation.outcome === 'existing') {
    await writeSeats(db, license, activation.totals, null);
    await recordChanges(db, gone);
    return answerTo(wish, held);
  }
  const { pulse, ...machine } = newMachine(wish, license, now);
  const term = clockStartedBy('FROM_FIRST_ACTIVATION', license, policy, now);
  await writeSeats(db, license, activation.totals, { machine, term });
  const after = toMachineView({ ...machine, pulse }, policy, tenant.environment, now);
  await recordChanges(db, [...gone, { ...activationOf(machine, after), occurredAt: testClock?.frozenAt }]);
  if (term !== null) await recordStartedTerm(db, tenant, license.id, license, now);
  return new Answer(HttpStatus.CREATED, after);
}

/** Of its license's segment, whoever activates it: that one sees who holds the seats. */
function newMachine({ tenant, body, ip }: Wish, license: Seats['license'], now: Date): MachineRow {
  const { name, platform, hostname, cores, memoryMb, diskMb, userEmail, components = [], metadata = {} } = toMachineColumns(body);
  return {
    id: uuidv7(),
    environmentId: tenant.environmentId,
    licenseId: license.id,
    segmentId: license.segmentId,
    fingerprint: body.fingerprint,
    name: name ?? null,
    platform: platform ?? null,
    hostname: hostname ?? null,
    cores: cores ?? null,
    memoryMb: memoryMb ?? null,
    diskMb: diskMb ?? null,
    userEmail: userEmail ?? null,
    components,
    metadata,
    ip,
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
    pulse: { activatedAt: now, lastHeartbeatAt: null },
  };
}
