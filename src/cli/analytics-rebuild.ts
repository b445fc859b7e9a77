import { AccountsService } from '../accounts/accounts.service.js';
import { type Rebuilt, RebuildService } from '../analytics/rebuild.service.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { type Outcome, table } from './output.js';
import { everyItem, inSession, type Session } from './session.js';

export interface RebuildOptions {
  /** Slug or id; absent = every account. */
  account?: string;
  /** Absent = both. */
  environment?: EnvironmentName;
}

/** How often the progress of a long rebuilding is told. */
const TELL_EVERY_MS = 2_000;
const environments: EnvironmentName[] = ['live', 'test'];

/** `analytics rebuild`: one environment after the other; what is done stays done when a later one fails. */
export async function rebuildAnalytics({ account, environment: only }: RebuildOptions): Promise<Outcome> {
  const document = await inSession(async (session) => {
    const accounts = account === undefined ? await everyAccount(session) : [account];
    const done: ({ account: string; environment: EnvironmentName } & Rebuilt)[] = [];
    for (const name of accounts) {
      for (const environment of only === undefined ? environments : [only]) {
        const { tenant } = await session.caller(name, environment);
        const rebuilt = await session.get(RebuildService).rebuild(tenant, tellProgress(`${name} ${environment}`));
        done.push({ account: name, environment, ...rebuilt });
      }
    }
    return done;
  });
  const rows = document.map(({ account: name, environment, licenses, machines, deaths }) => {
    return [name, environment, String(licenses), String(machines), String(deaths)];
  });
  const counted = table(['ACCOUNT', 'ENVIRONMENT', 'LICENSES', 'MACHINES', 'OF THEM DEAD'], rows, 'There are no accounts.');
  return {
    document,
    text: `${counted}\n\nRebuilt from these rows, those of deleted licenses and machines included. Counts of validations and of expiries leave no rows, and stay as they were.`,
  };
}

async function everyAccount(session: Session): Promise<string[]> {
  const accounts = await everyItem((query) => session.get(AccountsService).list(query));
  return accounts.map(({ slug }) => slug);
}

/** On stderr: stdout belongs to the answer. */
function tellProgress(where: string): (rebuilt: Rebuilt) => void {
  let toldAt = Date.now();
  return ({ licenses, machines }) => {
    if (Date.now() - toldAt < TELL_EVERY_MS) return;
    toldAt = Date.now();
    process.stderr.write(`${where}: ${String(licenses)} licenses, ${String(machines)} machines\n`);
  };
}
