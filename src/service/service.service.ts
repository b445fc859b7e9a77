import { Injectable } from '@nestjs/common';
import { Metrics } from '../core/metrics.js';
import { Readiness } from '../core/readiness.js';
import { VERSION } from '../core/version.js';
import { errorCodes, LatchkeyError } from '../domain/errors.js';
import type { HealthView, ReadinessView, RootView } from './service.dto.js';

@Injectable()
export class ServiceService {
  constructor(
    private readonly readiness: Readiness,
    private readonly measured: Metrics,
  ) {}

  root(): RootView {
    return {
      name: 'Latchkey',
      version: VERSION,
      links: { docs: '/docs', openapi: '/openapi.json', api: '/api/v1', health: '/health/ready' },
    };
  }

  live(): HealthView {
    return { status: 'ok' };
  }

  async ready(): Promise<ReadinessView> {
    const problem = await this.readiness.problem();
    if (problem !== null) throw new LatchkeyError('UNAVAILABLE', problem);
    return { status: 'ok', workerLagSeconds: await this.readiness.workerLagSeconds() };
  }

  /** In the text format of Prometheus. */
  metrics(): Promise<string> {
    return this.measured.text();
  }

  /** Where RFC 9457's `type` leads: an entry for each code. */
  errorReference(): string {
    const entries = Object.entries(errorCodes).map(
      ([code, { status, title, help }]) =>
        `<dt id="${code}"><code>${code}</code> – ${String(status)}</dt><dd>${title}. ${help.replace(/`([^`]+)`/g, '<code>$1</code>')}</dd>`,
    );
    return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Latchkey: error codes</title>
<style>body{font:16px/1.5 system-ui;max-width:48rem;margin:2rem auto;padding:0 1rem}dt{margin-top:1rem;font-weight:600}:target{background:#fff3b0}</style>
<h1>Error codes</h1><dl>${entries.join('\n')}</dl></html>`;
  }
}
