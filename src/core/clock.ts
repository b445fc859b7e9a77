import { Injectable } from '@nestjs/common';

/** A clock that a vendor turns by hand; null = none, real time. */
export type TurnedClock = { frozenAt: Date } | null;

/** The one source of "now" for every rule; injected, so that nothing else reads the system's clock. */
@Injectable()
export class Clock {
  /** Real time; or, for what is attached to a test clock (resources.md, "Test clocks"), that clock's time. */
  now(turned: TurnedClock = null): Date {
    return turned === null ? new Date() : turned.frozenAt;
  }
}
