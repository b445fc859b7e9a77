import { Injectable } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { LatchkeyError } from '../domain/errors.js';
import { Config } from './config.js';

/** What a process of any role answers: that it is there, and how it is. */
const OF_EVERY_PROCESS = /^\/$|^\/health(\/|$)|^\/metrics$/;

/**
 * What this process is for (contract: operations.md, `ROLE`). `api` answers requests; `worker` does the work behind them that
 * is done once for everyone – it passes on events, delivers, sweeps, announces, links the audit log, deletes what is out of
 * date – and `all` does both. What a process has of its own runs in all of them: buffers that are written behind the answers,
 * caches, what it hears from others.
 */
@Injectable()
export class Role {
  private readonly name: Config['role'];

  constructor({ role }: Config) {
    this.name = role;
  }

  get answersApi(): boolean {
    return this.name !== 'worker';
  }

  /** Start work that is done for everyone, where that is for this process to do. */
  startJob(job: { start(): void }): void {
    if (this.name !== 'api') job.start();
  }
}

/** Of a process that does not answer the API: everything that only others answer is not there. */
export function answerNoApi(request: Request, _response: Response, next: NextFunction): void {
  next(OF_EVERY_PROCESS.test(request.path) ? undefined : new LatchkeyError('NOT_FOUND', 'No such route: this process is a worker.'));
}
