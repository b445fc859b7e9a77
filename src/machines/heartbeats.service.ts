import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { TenantPrincipal } from '../auth/principal.js';
import { Clock } from '../core/clock.js';
import { Database } from '../core/database.js';
import { Grouped } from '../core/grouped.js';
import { recordsOf } from '../core/insert.js';
import { Interests } from '../core/interests.js';
import { Metrics } from '../core/metrics.js';
import { currentTeller, toEventRow } from '../core/outbox.js';
import { Signals } from '../core/signals.js';
import { currentTraceparent } from '../core/spans.js';
import { type LatchkeyError, notFound } from '../domain/errors.js';
import { beaten, judgeBeat, machineDead } from '../domain/heartbeat.js';
import { requireUsable } from '../domain/license-state.js';
import {
  asked,
  type Beat,
  type BeatingRow,
  FIND_BEATING,
  heartbeatOf,
  holdBeating,
  KEEP_AND_TELL_BEATS,
  KEEP_BEATS,
  keepBeat,
  tellHeartbeat,
  tellResurrection,
} from './heartbeats.query.js';
import { type MachineView, toMachineView } from './machines.dto.js';

/** One group is being read while another is being written. */
const GROUPS = { runs: 2, size: 200, waiting: 5000, waitMs: 10_000 };

/** A plain beat that counts: the machine as it is then, and whose it is. */
export interface Beaten extends Pick<BeatingRow, 'accountId' | 'environmentId'> {
  view: MachineView;
}

/** What became of a beat in its group: that it counts, or that it is not for groups to say. */
type GroupOutcome = Beaten | 'not plain';

/**
 * Heartbeats at the speed of the machine (docs/decisions/0016-heartbeats.md). Plain beats, of living machines in real
 * time, are read and kept in groups: two statements each, however many they are and whosever. What is more than that has a
 * transaction of its own.
 */
@Injectable()
export class HeartbeatsService implements OnApplicationShutdown {
  private readonly groups = new Grouped<Beat, GroupOutcome>((beats) => this.beatTogether(beats), GROUPS);

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly interests: Interests,
    private readonly signals: Signals,
    private readonly metrics: Metrics,
  ) {}

  /** Acknowledged only once it is stored. 422 MACHINE_DEAD beyond resurrection, 403 for a license that is not usable. */
  beat(caller: TenantPrincipal, machineId: string): Promise<MachineView> {
    // Those of the front door that do not count at once come again, and are counted here.
    return this.metrics.counting(this.metrics.heartbeats, this.beatAs(caller, machineId), () => 'kept');
  }

  /**
   * The same for whoever holds the key with this digest; null when it is no plain beat, or the key is no license's own.
   * @throws when the beat is refused: 403, 404, 422
   */
  async beatWithKey(keyDigest: Uint8Array, machineId: string, requestId: string): Promise<Beaten | null> {
    const outcome = await this.groups.do({ machineId, by: { requestId, traceContext: currentTraceparent() }, keyDigest });
    if (outcome === 'not plain') return null;
    this.metrics.heartbeats.inc({ outcome: 'kept', code: '' });
    return outcome;
  }

  onApplicationShutdown(): Promise<void> {
    return this.groups.drain();
  }

  private async beatAs(caller: TenantPrincipal, machineId: string): Promise<MachineView> {
    const { environmentId, segmentId } = caller.tenant;
    const licenseId = caller.kind === 'license' ? caller.licenseId : null;
    const outcome = await this.groups.do({ machineId, by: currentTeller(), keyDigest: null, environmentId, licenseId, segmentId });
    return outcome === 'not plain' ? this.beatAlone(caller, machineId) : outcome.view;
  }

  private async beatTogether(beats: readonly Beat[]): Promise<(GroupOutcome | Error)[]> {
    const found: (BeatingRow | undefined)[] = beats.map(() => undefined);
    for (const row of await this.database.lookup<BeatingRow>(FIND_BEATING, asked(beats))) found[row.position - 1] = row;
    const now = this.clock.now();
    const outcomes = found.map((row) => (row === undefined ? notFound('machine') : judge(row, now)));
    const plain = found.filter((row, index): row is BeatingRow => row !== undefined && isBeaten(outcomes[index]));
    const kept = await this.keep(plain, now, this.eventsOf(beats, found, outcomes, now));
    return outcomes.map((outcome) => (isBeaten(outcome) && !kept.has(outcome.view.id) ? 'not plain' : outcome));
  }

  /** Those of the plain beats that somebody listens to. */
  private eventsOf(
    beats: readonly Beat[],
    found: readonly (BeatingRow | undefined)[],
    outcomes: readonly (GroupOutcome | Error)[],
    now: Date,
  ): object[] {
    return beats.flatMap(({ by }, index) => {
      const [row, outcome] = [found[index], outcomes[index]];
      if (row === undefined || !isBeaten(outcome) || !this.interests.wants(row.environmentId, 'machine.heartbeat')) return [];
      return [toEventRow(heartbeatOf(row, outcome.view, now), { actor: { type: 'license', id: row.licenseId }, requestId: null, ...by })];
    });
  }

  /** Answers the ids of those that are stored, each with its event where there is one. */
  private async keep(machines: readonly BeatingRow[], at: Date, events: readonly object[]): Promise<Set<string>> {
    if (machines.length === 0) return new Set();
    const values = [machines.map(({ environmentId }) => environmentId), machines.map(({ id }) => id), at];
    const isTold = events.length > 0;
    const kept = isTold
      ? await this.database.stamp<{ machineId: string }>(KEEP_AND_TELL_BEATS, [...values, recordsOf(events)])
      : await this.database.stamp<{ machineId: string }>(KEEP_BEATS, values);
    if (isTold) this.signals.send('events');
    return new Set(kept.map(({ machineId }) => machineId));
  }

  /** On a test clock, to be brought back, or held by someone else: judged again behind the locks, at the time that it is then. */
  private beatAlone(caller: TenantPrincipal, machineId: string): Promise<MachineView> {
    const { environment, environmentId } = caller.tenant;
    return this.database.within(caller.tenant, async (db) => {
      const machine = await holdBeating(db, caller, machineId);
      const { license } = machine;
      const now = this.clock.now(license.testClock);
      requireUsable(license, license.policy, now);
      const verdict = judgeBeat(machine.pulse, license.policy, now);
      if (verdict === 'too_late') throw machineDead();
      const pulse = await keepBeat(db, machine, now);
      if (verdict === 'resurrects' || machine.pulse.deathAnnounced) await tellResurrection(db, machine, pulse, environment, now);
      const view = toMachineView({ ...machine, pulse }, license.policy, environment, now);
      if (this.interests.wants(environmentId, 'machine.heartbeat')) await tellHeartbeat(db, machine, view, now);
      return view;
    });
  }
}

/** What a beat at `now` comes to, if it is kept before anything else happens to the machine. */
function judge(row: BeatingRow, now: Date): GroupOutcome | LatchkeyError {
  if (row.isOnTestClock) return 'not plain';
  try {
    requireUsable(row, row, now);
  } catch (error) {
    return error as LatchkeyError;
  }
  const { activatedAt, lastHeartbeatAt, accountId, environmentId } = row;
  const pulse = { activatedAt, lastHeartbeatAt };
  const verdict = judgeBeat(pulse, row, now);
  if (verdict === 'too_late') return machineDead();
  if (verdict === 'resurrects' || row.deathAnnounced) return 'not plain';
  return { view: toMachineView({ ...row, pulse: beaten(pulse, now) }, row, row.environment, now), accountId, environmentId };
}

function isBeaten(outcome: GroupOutcome | Error | undefined): outcome is Beaten {
  return typeof outcome === 'object' && !(outcome instanceof Error);
}
