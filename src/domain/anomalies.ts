/**
 * Licenses that are seen on far more fingerprints, or from far more addresses, than their seats explain (contract:
 * resources.md, "Analytics"). People travel, reinstall and change networks: the factors leave room for them.
 */
export const FINGERPRINTS_PER_SEAT = 3;
export const IPS_PER_SEAT = 10;

/** How often a license was seen in a month, each time as another. */
export interface Spread {
  fingerprints: number;
  ips: number;
}

/**
 * The seats that explain it: the limit, or the machines that hold seats where an overage lets more in. Null = no limit, which
 * explains everything.
 */
export function explainingSeats(maxMachines: number | null, machineCount: number): number | null {
  return maxMachines === null ? null : Math.max(maxMachines, machineCount, 1);
}

/** How many times more than its seats explain; above 1 is an anomaly. In SQL: `suspicion_of`. */
export function suspicionOf({ fingerprints, ips }: Spread, seats: number | null): number {
  return seats === null ? 0 : Math.max(fingerprints / (FINGERPRINTS_PER_SEAT * seats), ips / (IPS_PER_SEAT * seats));
}

/** A license as it was seen in a month, under the limit that it has now. */
export interface Seen extends Spread {
  licenseId: string;
  /** The effective limit; null = none. */
  maxMachines: number | null;
  machineCount: number;
}

/** One that its seats do not explain. */
export type Anomaly<Row extends Seen> = Row & { seats: number; suspicion: number };

/** Those that their seats do not explain, the most suspicious first; equally suspicious ones by id. */
export function anomaliesAmong<Row extends Seen>(rows: readonly Row[]): Anomaly<Row>[] {
  return rows
    .flatMap((row) => {
      const seats = explainingSeats(row.maxMachines, row.machineCount);
      const suspicion = suspicionOf(row, seats);
      return seats !== null && suspicion > 1 ? [{ ...row, seats, suspicion }] : [];
    })
    .sort((a, b) => b.suspicion - a.suspicion || (a.licenseId < b.licenseId ? -1 : 1));
}
