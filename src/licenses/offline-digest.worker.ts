import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database, type Db, type Tenant } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { MasterKey } from '../core/master-key.js';
import { Recurring, takeTurn, withinEach } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { offlineDigest } from './creation.plan.js';
import { findUndigested, holdSealedKeys, keepDigests, type Undigested } from './offline-digest.query.js';

const INTERVAL_MS = 3_600_000;
/** Licenses that one transaction fills in. */
const BATCH = 500;
const FIRST = '00000000-0000-0000-0000-000000000000';

/**
 * Fills in the offline digests of licenses that were made before there were any, or are made by a server of an earlier version
 * that still runs: at start and every hour, a portion a transaction, one server at a time. Where nothing is left, that is one
 * look into an empty index.
 */
@Injectable()
export class OfflineDigestWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;

  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly role: Role,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.work = new Recurring('offline digests of license keys could not be made', INTERVAL_MS, (goesOn) => this.fillAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.role.startJob('offline_digests', this.work);
  }

  onApplicationShutdown(): Promise<void> {
    return this.work.stop();
  }

  /** Resolves when none is left that could be filled in, another server is at it, or it failed; the next hour goes on. */
  fill(): Promise<void> {
    return this.work.run();
  }

  private async fillAll(goesOn: () => boolean): Promise<void> {
    for (let after: string | null = FIRST; after !== null && goesOn();) after = await this.fillBatch(after);
  }

  /** Where the next goes on, or null when nothing is left or it is another's turn. */
  private fillBatch(after: string): Promise<string | null> {
    return this.database.inOneTransaction(async () => {
      const found = await this.database.acrossTenants('find licenses without an offline digest', async (db) =>
        (await takeTurn(db, 'offlineDigests')) ? findUndigested(db, after, BATCH) : [],
      );
      await withinEach(this.database, this.logger, 'offline digests of an environment could not be made', found, (db, tenant, licenses) =>
        this.fillIn(db, tenant, licenses),
      );
      return found.at(-1)?.id ?? null;
    });
  }

  private async fillIn(db: Db, { accountId }: Tenant, licenses: readonly Undigested[]): Promise<void> {
    const digests = new Map<string, Uint8Array<ArrayBuffer>>();
    const ids = licenses.map(({ id }) => id);
    for (const { id, keySealed } of await holdSealedKeys(db, ids)) {
      try {
        digests.set(id, offlineDigest(this.masterKey, accountId, this.masterKey.open(keySealed, id)));
      } catch (error) {
        // It holds up no other.
        this.logger.error({ err: error, licenseId: id }, 'the key of a license cannot be opened');
      }
    }
    await keepDigests(db, digests);
  }
}
