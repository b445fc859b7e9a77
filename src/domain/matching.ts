import type { FingerprintMatching } from './policy.js';

/** Which of the fingerprints that a copy sends are active, and how many must be (contract: resources.md, `fingerprintMatching`). */

/** A machine that holds a seat, as far as sent fingerprints lead to it. */
export interface MatchedMachine {
  id: string;
  /** Its own, sent or not. */
  fingerprint: string;
  /** Those of its components that were sent. */
  components: readonly string[];
}

/** A sent fingerprint that is active, and the machines that it stands for. */
export interface Match<Machine extends MatchedMachine> {
  fingerprint: string;
  /**
   * The machine whose own it is, alone; else those with such a component, the likeliest to have sent it first: whose own
   * fingerprint was sent too, then in the given order. Never empty.
   */
  machines: Machine[];
}

/** The active ones of `sent`, in its order. */
export function matchesOf<Machine extends MatchedMachine>(sent: readonly string[], machines: readonly Machine[]): Match<Machine>[] {
  return sent.flatMap((fingerprint) => {
    const own = machines.find((machine) => machine.fingerprint === fingerprint);
    const standsFor = own === undefined ? havingComponent(fingerprint, sent, machines) : [own];
    return standsFor.length === 0 ? [] : [{ fingerprint, machines: standsFor }];
  });
}

function havingComponent<Machine extends MatchedMachine>(
  fingerprint: string,
  sent: readonly string[],
  machines: readonly Machine[],
): Machine[] {
  const having = machines.filter(({ components }) => components.includes(fingerprint));
  const isNamed = (machine: Machine): boolean => sent.includes(machine.fingerprint);
  return [...having.filter(isNamed), ...having.filter((machine) => !isNamed(machine))];
}

const needed: Record<FingerprintMatching, (sent: number) => number> = {
  ANY: (sent) => Math.min(1, sent),
  TWO: (sent) => Math.min(2, sent),
  MOST: (sent) => Math.ceil(sent / 2),
  ALL: (sent) => sent,
};

/** How many of `sent` fingerprints must be active. */
export function matchesNeeded(matching: FingerprintMatching, sent: number): number {
  return needed[matching](sent);
}
