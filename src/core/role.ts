import { Injectable } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { LatchkeyError } from '../domain/errors.js';
import { Config } from './config.js';
import { Metrics, type Reading } from './metrics.js';

/** What a process of any role answers: that it is there, and how it is. */
const OF_EVERY_PROCESS = /^\/$|^\/health(\/|$)|^\/metrics$/;

/** As metrics name the work that is done for everyone. */
export type JobName =
  | 'audit_chain'
  | 'deliveries'
  | 'event_feed'
  | 'expiry'
  | 'idempotency'
  | 'machines'
  | 'offline_digests'
  | 'retention'
  | 'roll_up_retention'
  | 'roll_ups';

/** Work in rounds. */
interface Job {
  start(): void;
  readonly intervalMs: number;
  /** Since a round ended well; before the first of them, since it was made. */
  readonly sinceRoundMs: number;
}

/**
 * What this process is for (contract: operations.md, `ROLE`). `api` answers requests; `worker` does the work behind them that
 * is done once for everyone – it passes on events, delivers, sweeps, announces, links the audit log, deletes what is out of
 * date – and `all` does both. What a process has of its own runs in all of them: buffers that are written behind the answers,
 * caches, what it hears from others.
 */
@Injectable()
export class Role {
  private readonly name: Config['role'];
  private readonly jobs = new Map<JobName, Job>();

  constructor({ role }: Config, metrics: Metrics) {
    this.name = role;
    metrics.watch(metrics.jobAgeSeconds, () => this.readings(({ sinceRoundMs }) => sinceRoundMs));
    metrics.watch(metrics.jobIntervalSeconds, () => this.readings(({ intervalMs }) => intervalMs));
  }

  get answersApi(): boolean {
    return this.name !== 'worker';
  }

  /** Whether it does the work that is done for everyone. */
  get doesJobs(): boolean {
    return this.name !== 'api';
  }

  /** Start work that is done for everyone, where that is for this process to do. */
  startJob(name: JobName, job: Job): void {
    if (!this.doesJobs) return;
    this.jobs.set(name, job);
    job.start();
  }

  private readings(msOf: (job: Job) => number): Reading<'name'>[] {
    return [...this.jobs].map(([name, job]) => ({ labels: { name }, value: msOf(job) / 1000 }));
  }
}

/** Of a process that does not answer the API: everything that only others answer is not there. */
export function answerNoApi(request: Request, _response: Response, next: NextFunction): void {
  next(OF_EVERY_PROCESS.test(request.path) ? undefined : new LatchkeyError('NOT_FOUND', 'No such route: this process is a worker.'));
}
