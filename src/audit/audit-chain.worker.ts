import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { AuthFailures } from '../core/auth-failures.js';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Role } from '../core/role.js';
import { chainsToSeal, FIRST, sealNext } from './audit-chain.query.js';

const INTERVAL_MS = 1000;

/**
 * Links what was committed into the chains of the audit log: every second, at stop, and before a chain is verified
 * (docs/decisions/0011-audit-log.md). What a stop or a crash leaves waits for the next server.
 */
@Injectable()
export class AuditChainWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer?: NodeJS.Timeout;
  private running: Promise<void> = Promise.resolve();
  private isStopped = false;
  private isFailing = false;
  private endedAt = performance.now();

  constructor(
    private readonly database: Database,
    private readonly failures: AuthFailures,
    private readonly role: Role,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.role.startJob('audit_chain', this);
  }

  readonly intervalMs = INTERVAL_MS;

  get sinceRoundMs(): number {
    return performance.now() - this.endedAt;
  }

  start(): void {
    this.scheduleNext();
  }

  /** The last failures are entries too. */
  async onApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    await this.running;
    await this.failures.flush();
    await this.sealAll();
  }

  /** Resolves when everything that was committed in this chain before is linked. */
  async seal(chainId: string): Promise<void> {
    await this.sealChain(chainId, { orLeave: false });
  }

  private scheduleNext(): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => {
      this.running = this.sealAll().then(() => {
        this.scheduleNext();
      });
    }, INTERVAL_MS).unref();
  }

  /** A chain that another server is at is left to it. What fails is tried again a second later, and told once. */
  private async sealAll(): Promise<void> {
    try {
      const chains = await this.database.acrossTenants('find entries to link into the audit chains', chainsToSeal);
      // One after the other, and one that fails holds up no other.
      const failures: unknown[] = [];
      for (const chainId of chains) await this.sealChain(chainId, { orLeave: true }).catch((error: unknown) => failures.push(error));
      if (failures.length > 0) throw new AggregateError(failures);
      this.isFailing = false;
      this.endedAt = performance.now();
    } catch (error) {
      if (!this.isFailing) this.logger.warn({ err: error }, 'the audit log could not be linked; it is tried again');
      this.isFailing = true;
    }
  }

  private async sealChain(chainId: string, { orLeave }: { orLeave: boolean }): Promise<void> {
    for (let after: string | null = FIRST; after !== null;) {
      const from: string = after;
      after = await this.database.acrossTenants('link entries into an audit chain', (db) => sealNext(db, chainId, from, orLeave));
    }
  }
}
