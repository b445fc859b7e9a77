/**
 * What is promised about seats, as a judgement of a history: what clients asked and were answered, the events that were
 * written meanwhile, and the rows that are there at the end. Pure; knows nothing of how the servers do it.
 *
 * Times are milliseconds since the epoch. Clients, servers and database share one machine's clock. A request takes effect
 * at some instant between its call and its end; the event that it writes says when, but for the commit that follows it:
 * nobody sees it before, everybody does when its request has ended. Whatever may have been so is held against nobody.
 */

/** One request, as its client saw it. */
export interface Operation {
  kind: 'activate' | 'deactivate' | 'beat' | 'suspend' | 'reinstate' | 'change policy';
  calledAt: number;
  endedAt: number;
  /** Null = unknown: the connection broke. */
  answer: { status: number; code?: string; machineId?: string } | null;
  /** Whether its server was killed before it ended. */
  killed: boolean;
  licenseId?: string;
  policyId?: string;
  /** Of what deactivates or beats. */
  machineId?: string;
  /** Of what activates. */
  fingerprint?: string;
}

/** Signs of life of a machine were set back, as if so much more time had passed. */
export interface Ageing {
  machineId: string;
  calledAt: number;
  endedAt: number;
  minutes: number;
}

export interface EventRow {
  type: string;
  resourceId: string;
  licenseId: string | null;
  at: number;
  /** What the resource was afterwards. */
  object: { maxMachines?: number | null; overageStrategy?: string };
}

export interface SeatPolicy {
  id: string;
  /** As they were before anything was asked. */
  maxMachines: number;
  overageStrategy: string;
  /** Null = its machines do not die. */
  heartbeatIntervalMinutes: number | null;
  /** After its death; null = a dead machine keeps its seat. */
  culledAfterMinutes: number | null;
}

export interface FinalLicense {
  id: string;
  policyId: string;
  machineCount: number;
  coresTotal: number;
}

export interface FinalMachine {
  id: string;
  licenseId: string;
  fingerprint: string;
  cores: number;
  isActive: boolean;
}

export interface FinalPulse {
  machineId: string;
  activatedAt: number;
  lastHeartbeatAt: number | null;
  deathAnnounced: boolean;
}

export interface SeatHistory {
  policies: SeatPolicy[];
  operations: Operation[];
  ageings: Ageing[];
  events: EventRow[];
  licenses: FinalLicense[];
  machines: FinalMachine[];
  pulses: FinalPulse[];
  /** When the last sweep began, everything else having ended; null = there was none. */
  sweptAt: number | null;
}

const MINUTE_MS = 60_000;
/** The database rounds to a millisecond, and so does the client. */
const CLOCK_ERROR_MS = 2;
/** By when what was done without an answer is seen by everybody. */
const COMMIT_MS = 2_000;

const FACTORS: Record<string, number> = { NO_OVERAGE: 1, ALLOW_1_25X: 1.25, ALLOW_1_5X: 1.5, ALLOW_2X: 2 };

/** Everything that the history breaks, a line each; empty when it keeps every promise. */
export function contradictions(history: SeatHistory): string[] {
  const told = new Told(history);
  return [
    ...neverAboveTheLimit(told),
    ...activationsHold(told),
    ...deactivationsHold(told),
    ...countersAreExact(history),
    ...deathsAreToldOnce(told),
    ...deathsAreTrue(told),
    ...beatsHold(told),
    ...noneRefusedBesideFreeSeats(told),
    ...serversAnswer(history),
  ];
}

/** The life of one machine: it may have held its seat from `from` to `until`. */
interface Life {
  machineId: string;
  licenseId: string;
  from: number;
  until: number;
}

/** The history, with what follows from it. */
class Told {
  readonly lives: Life[];
  readonly acknowledged: Operation[];
  private readonly policyOf: Map<string, SeatPolicy>;

  constructor(readonly history: SeatHistory) {
    this.acknowledged = history.operations.filter(({ answer }) => answer !== null && answer.status < 300);
    const policies = new Map(history.policies.map((policy) => [policy.id, policy]));
    this.policyOf = new Map(history.licenses.map(({ id, policyId }) => [id, policies.get(policyId)!]));
    this.lives = this.eventsOf('machine.activated').map(({ resourceId, licenseId, at }) => {
      const [gone] = this.eventsOf('machine.deactivated', resourceId);
      const until = gone === undefined ? Infinity : this.seenBy(gone, 'deactivate');
      return { machineId: resourceId, licenseId: licenseId!, from: at, until };
    });
  }

  policy(licenseId: string): SeatPolicy {
    return this.policyOf.get(licenseId)!;
  }

  eventsOf(type: string, resourceId?: string): EventRow[] {
    return this.history.events.filter((event) => event.type === type && (resourceId === undefined || event.resourceId === resourceId));
  }

  /** The requests that may have written the event. */
  causes(event: EventRow, kind: Operation['kind'], isAbout: (operation: Operation) => boolean): Operation[] {
    return this.history.operations.filter((one) => one.kind === kind && isAbout(one) && one.calledAt <= event.at && event.at <= endOf(one));
  }

  /** By when everybody sees what the event tells. */
  seenBy(event: EventRow, kind: Operation['kind']): number {
    const causes = this.causes(event, kind, (one) => [one.machineId, one.policyId].includes(event.resourceId));
    return causes.length === 0 ? event.at + COMMIT_MS : Math.max(...causes.map(endOf));
  }

  /** Every limit that may have been in force for the license at some instant of the span. */
  limitsIn(licenseId: string, from: number, to: number): number[] {
    const policy = this.policy(licenseId);
    const changes = this.eventsOf('policy.updated', policy.id);
    const values = [{ from: -Infinity, ...policy }, ...changes.map(({ at, object }) => ({ from: at, ...object }))];
    return values.flatMap(({ from: since, maxMachines, overageStrategy }, index) => {
      const next = changes[index];
      const until = next === undefined ? Infinity : this.seenBy(next, 'change policy');
      return since <= to && from <= until ? [Math.floor(maxMachines! * FACTORS[overageStrategy!]!)] : [];
    });
  }

  /** Whether the machine may have been dead at some instant of the span: it was aged, and has not surely lived since. */
  mayBeDead(machineId: string, from: number, to: number): boolean {
    const aged = this.history.ageings.filter((ageing) => ageing.machineId === machineId && ageing.calledAt <= to);
    const signs = this.beatsOf(machineId).filter(({ endedAt }) => endedAt <= from);
    return aged.some(({ endedAt }) => !signs.some(({ calledAt }) => calledAt >= endedAt));
  }

  /** Those that were acknowledged. */
  beatsOf(machineId: string): Operation[] {
    return this.acknowledged.filter((one) => one.kind === 'beat' && one.machineId === machineId);
  }
}

/** (1) In the order in which they happened, no activation finds its license full, or suspended. */
function* neverAboveTheLimit(told: Told): Generator<string> {
  for (const { id } of told.history.licenses) {
    const active = new Set<string>();
    let suspended = false;
    for (const event of inOrder(told.history.events.filter(({ licenseId }) => licenseId === id))) {
      if (event.type === 'license.suspended') suspended = true;
      if (event.type === 'license.reinstated') suspended = false;
      if (event.type === 'machine.deactivated') active.delete(event.resourceId);
      if (event.type !== 'machine.activated') continue;
      active.add(event.resourceId);
      if (suspended) yield `machine ${event.resourceId} was activated on license ${id} while that was suspended`;
      const machine = told.history.machines.find((one) => one.id === event.resourceId);
      const causes = told.causes(event, 'activate', (one) => one.licenseId === id && one.fingerprint === machine?.fingerprint);
      if (causes.length === 0) yield `nobody asked for the activation of machine ${event.resourceId}`;
      const since = Math.min(event.at, ...causes.map(({ calledAt }) => calledAt));
      const limit = Math.max(...told.limitsIn(id, since, event.at));
      if (active.size > limit) yield `license ${id} had ${active.size} machines at ${event.at}, where ${limit} were allowed`;
    }
  }
}

/** (2) Who was told 201 has a machine, which is there until somebody says that it is not; 200 names one that was there. */
function* activationsHold({ history, acknowledged, lives }: Told): Generator<string> {
  const machines = new Map(history.machines.map((machine) => [machine.id, machine]));
  const made = new Set<string>();
  for (const { kind, answer, licenseId, fingerprint, calledAt, endedAt } of acknowledged) {
    if (kind !== 'activate') continue;
    const id = answer!.machineId!;
    const machine = machines.get(id);
    const life = lives.find(({ machineId }) => machineId === id);
    if (machine?.licenseId !== licenseId || machine?.fingerprint !== fingerprint || life === undefined) {
      yield `machine ${id} was acknowledged, and there is none for that license and fingerprint`;
    } else if (answer!.status === 201 && (made.has(id) || life.from < calledAt - CLOCK_ERROR_MS || life.from > endedAt + CLOCK_ERROR_MS)) {
      yield `machine ${id} was acknowledged as new, and was not`;
    } else if (life.from > endedAt + CLOCK_ERROR_MS || life.until < calledAt) {
      yield `machine ${id} was acknowledged as active when it was not`;
    }
    if (answer!.status === 201) made.add(id);
  }
  for (const { id, isActive } of history.machines) {
    const births = history.events.filter(({ type, resourceId }) => type === 'machine.activated' && resourceId === id).length;
    const ends = history.events.filter(({ type, resourceId }) => type === 'machine.deactivated' && resourceId === id).length;
    if (births !== 1 || ends !== (isActive ? 0 : 1))
      yield `machine ${id} is ${isActive ? '' : 'not '}active after ${births} activations and ${ends} deactivations`;
  }
}

/** (3) Who was told 204 has freed the seat, alone and for good; and nobody else's seat goes but by its death. */
function* deactivationsHold(told: Told): Generator<string> {
  const { history, acknowledged } = told;
  const freed = new Set<string>();
  for (const operation of acknowledged.filter(({ kind }) => kind === 'deactivate')) {
    const id = operation.machineId!;
    if (freed.has(id)) yield `machine ${id} was deactivated twice`;
    freed.add(id);
    if (!told.eventsOf('machine.deactivated', id).some((event) => told.causes(event, 'deactivate', (one) => one === operation).length > 0))
      yield `the deactivation of machine ${id} was acknowledged, and never happened`;
    if (history.machines.some((machine) => machine.id === id && machine.isActive)) yield `machine ${id} was deactivated, and is active`;
  }
  for (const event of told.eventsOf('machine.deactivated')) {
    const id = event.resourceId;
    if (told.causes(event, 'deactivate', ({ machineId }) => machineId === id).length > 0) continue;
    const [death] = told.eventsOf('machine.dead', id).slice(-1);
    if (death === undefined || death.at > event.at + CLOCK_ERROR_MS) yield `machine ${id} was taken away, and its death was never told`;
    if (!told.mayBeDead(id, event.at, event.at)) yield `machine ${id} was taken away while it lived`;
    if (told.policy(event.licenseId!).culledAfterMinutes === null) yield `machine ${id} was taken away, where the dead keep their seats`;
  }
}

/** (4) Counters and rows are the same thing. */
function* countersAreExact({ licenses, machines, pulses }: SeatHistory): Generator<string> {
  for (const { id, machineCount, coresTotal } of licenses) {
    const active = machines.filter(({ licenseId, isActive }) => licenseId === id && isActive);
    const cores = active.reduce((sum, machine) => sum + machine.cores, 0);
    if (active.length !== machineCount || cores !== coresTotal)
      yield `license ${id} counts ${machineCount} machines with ${coresTotal} cores, and has ${active.length} with ${cores}`;
    if (new Set(active.map(({ fingerprint }) => fingerprint)).size !== active.length)
      yield `a fingerprint holds two seats of license ${id}`;
  }
  const active = machines.filter(({ isActive }) => isActive).map(({ id }) => id);
  if (
    active.sort().join() !==
    pulses
      .map(({ machineId }) => machineId)
      .sort()
      .join()
  )
    yield 'pulses are not those of the active machines';
}

/** (5) A death is told once, at the latest by the sweep that follows it. */
function* deathsAreToldOnce(told: Told): Generator<string> {
  const { history } = told;
  const isBeat = (machineId: string, from: number, to: number): boolean =>
    history.operations.some(
      (one) => one.kind === 'beat' && one.machineId === machineId && one.calledAt <= to && endOf(one) >= from && mayHaveCounted(one),
    );
  for (const { id } of history.machines) {
    const deaths = told.eventsOf('machine.dead', id);
    for (const [index, { at }] of deaths.entries()) {
      const earlier = deaths[index - 1];
      if (earlier !== undefined && !isBeat(id, earlier.at, at)) yield `the death of machine ${id} was told twice`;
    }
  }
  if (history.sweptAt === null) return;
  for (const { machineId, activatedAt, lastHeartbeatAt, deathAnnounced } of history.pulses) {
    const machine = history.machines.find(({ id }) => id === machineId);
    const policy = machine === undefined ? undefined : told.policy(machine.licenseId);
    if (policy === undefined || policy.heartbeatIntervalMinutes === null) continue;
    const { heartbeatIntervalMinutes, culledAfterMinutes } = policy;
    const diedAt = (lastHeartbeatAt ?? activatedAt) + heartbeatIntervalMinutes * MINUTE_MS;
    const isDead = diedAt <= history.sweptAt;
    if (isDead !== deathAnnounced)
      yield `machine ${machineId} is ${isDead ? 'dead, and that was not told' : 'alive, and counts as told dead'}`;
    if (isDead && told.eventsOf('machine.dead', machineId).length === 0) yield `the death of machine ${machineId} was never told`;
    if (culledAfterMinutes !== null && diedAt + culledAfterMinutes * MINUTE_MS <= history.sweptAt)
      yield `machine ${machineId} outlived its cull`;
  }
}

/** (5) No living machine is called dead: not to others, and not to itself. */
function* deathsAreTrue(told: Told): Generator<string> {
  for (const { resourceId, at } of told.eventsOf('machine.dead')) {
    if (!told.mayBeDead(resourceId, at - CLOCK_ERROR_MS, at)) yield `machine ${resourceId} was told dead while it lived`;
  }
  for (const { kind, machineId, answer, calledAt, endedAt } of told.history.operations) {
    if (kind === 'beat' && answer?.code === 'MACHINE_DEAD' && !told.mayBeDead(machineId!, calledAt, endedAt))
      yield `a beat of machine ${machineId!} was refused while it lived`;
  }
}

/** (6) A beat that was acknowledged is kept, and was of a machine that was there. */
function* beatsHold({ history, acknowledged, lives }: Told): Generator<string> {
  const pulses = new Map(history.pulses.map((pulse) => [pulse.machineId, pulse]));
  for (const { kind, machineId, calledAt, endedAt } of acknowledged) {
    if (kind !== 'beat') continue;
    const life = lives.find((one) => one.machineId === machineId);
    if (life === undefined || life.from > endedAt + CLOCK_ERROR_MS || life.until < calledAt)
      yield `machine ${machineId!} beat while it was not active`;
    const pulse = pulses.get(machineId!);
    if (pulse === undefined) continue;
    const minutes = history.ageings
      .filter((ageing) => ageing.machineId === machineId && ageing.endedAt >= calledAt)
      .reduce((sum, ageing) => sum + ageing.minutes, 0);
    if ((pulse.lastHeartbeatAt ?? -Infinity) < calledAt - minutes * MINUTE_MS - CLOCK_ERROR_MS)
      yield `a beat of machine ${machineId!} at ${calledAt} was acknowledged, and is lost`;
  }
}

/** (7) Who is refused a seat found all of them taken, at some instant of the request. */
function* noneRefusedBesideFreeSeats(told: Told): Generator<string> {
  for (const { kind, answer, licenseId, calledAt, endedAt } of told.history.operations) {
    if (kind !== 'activate' || answer?.code !== 'MACHINE_LIMIT_EXCEEDED') continue;
    const lives = told.lives.filter((life) => life.licenseId === licenseId);
    const instants = [calledAt, ...lives.map(({ from }) => from), ...told.eventsOf('policy.updated').map(({ at }) => at)];
    const wasFull = instants.some((at) => {
      if (at < calledAt || at > endedAt) return false;
      const taken = lives.filter(({ from, until }) => from <= at + CLOCK_ERROR_MS && at <= until).length;
      return taken >= Math.min(...told.limitsIn(licenseId!, at, at));
    });
    if (!wasFull) yield `license ${licenseId!} refused a machine between ${calledAt} and ${endedAt}, while a seat was free`;
  }
}

/** (8) A server that nobody kills answers, and not with a fault of its own. */
function* serversAnswer({ operations }: SeatHistory): Generator<string> {
  for (const { kind, answer, killed } of operations) {
    if (!killed && (answer === null || answer.status >= 500)) yield `a living server answered ${answer?.status ?? 'nothing'} to ${kind}`;
  }
}

function endOf({ answer, endedAt }: Operation): number {
  return answer === null ? endedAt + COMMIT_MS : endedAt + CLOCK_ERROR_MS;
}

function mayHaveCounted({ answer }: Operation): boolean {
  return answer === null || answer.status < 300;
}

/** Of what happened in one millisecond, what frees a seat came before what took it: no machine does both in so short a time. */
function inOrder(events: readonly EventRow[]): EventRow[] {
  const rank = ({ type }: EventRow): number => Number(type === 'machine.activated');
  return [...events].sort((one, other) => one.at - other.at || rank(one) - rank(other));
}
