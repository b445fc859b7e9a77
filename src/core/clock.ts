import { Injectable } from '@nestjs/common';

/** The one source of "now" for every rule; injected, so that nothing else reads the system's clock. */
@Injectable()
export class Clock {
  now(): Date {
    return new Date();
  }
}
