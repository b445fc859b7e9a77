import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { ConfigError, environmentExample, loadConfig } from './config.js';

const MASTER_KEY = Buffer.alloc(32, 1).toString('base64');

const problemsOf = (environment: Record<string, string>): string[] => {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    return (error as ConfigError).problems;
  }
};

describe('the environment', () => {
  it('keeps events for longer than they may be tried', () => {
    expect(() => loadConfig({ EVENT_RETENTION_DAYS: '3' })).toThrow(/EVENT_RETENTION_DAYS: must be more than .* 3\.8 days/);
    expect(loadConfig({ EVENT_RETENTION_DAYS: '4' }).eventRetentionDays).toBe(4);
    expect(loadConfig({ EVENT_RETENTION_DAYS: '1', WEBHOOK_RETRY_SCHEDULE: '0,60' }).eventRetentionDays).toBe(1);
  });

  it('needs nothing at all', () => {
    expect(loadConfig({})).toMatchObject({ port: 3000, host: '127.0.0.1', databaseUrl: undefined, openSignup: false, seedDemo: true });
  });

  it.each([
    ['PORT', 'eighty', 'PORT: must be a whole number'],
    ['PORT', '70000', /^PORT: .*65535/],
    ['DATABASE_URL', 'mysql://localhost/x', /^DATABASE_URL: /],
    ['DATABASE_POOL_SIZE', '-1', /^DATABASE_POOL_SIZE: /],
    ['MASTER_KEY', 'short', /^MASTER_KEY: must be 32 bytes in base64/],
    ['PLATFORM_TOKEN', 'too-short', 'PLATFORM_TOKEN: must have at least 32 characters'],
    ['OPEN_SIGNUP', 'yes', /^OPEN_SIGNUP: /],
    ['TRUSTED_PROXIES', '10.0.0.0/33', /^TRUSTED_PROXIES: /],
    ['TRUSTED_PROXIES', 'proxy.local', /^TRUSTED_PROXIES: /],
    ['LIMIT_VALIDATE_PER_MINUTE', 'many', /^LIMIT_VALIDATE_PER_MINUTE: /],
    ['REDIS_URL', 'localhost:6379', /^REDIS_URL: /],
    ['LOG_LEVEL', 'loud', /^LOG_LEVEL: /],
    ['LIMIT_VALIDATE_PER_MINUT', '5', /^LIMIT_VALIDATE_PER_MINUT: is no setting/],
    ['DATABASE_URI', 'postgres://x', /^DATABASE_URI: is no setting/],
    ['PLATFORM_TOKN', 'x', /^PLATFORM_TOKN: is no setting/],
    ['METRIC_TOKEN', 'a-token-for-metrics', /^METRIC_TOKEN: is no setting/],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318', /^OTEL_EXPORTER_OTLP_ENDPOINT: must be .*, like http:\/\/collector:4318$/],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'localhost', /^OTEL_EXPORTER_OTLP_ENDPOINT: must be .*, like http:\/\/collector:4318$/],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://collector:4318/v1/traces', /^OTEL_EXPORTER_OTLP_ENDPOINT: .*\/v1\/traces: leave it out/],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'https://collector/otel/v1/traces/', /^OTEL_EXPORTER_OTLP_ENDPOINT: .*\/v1\/traces: leave it out/],
    ['METRICS_TOKEN', 'short', 'METRICS_TOKEN: must have at least 16 characters'],
  ])('is refused, naming the variable: %s=%s', (name, value, problem) => {
    const problems = problemsOf({ MASTER_KEY, [name]: value });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toEqual(typeof problem === 'string' ? problem : expect.stringMatching(problem));
  });

  it('is refused with every problem at once, and without repeating a secret', () => {
    const problems = problemsOf({ PORT: 'x', PLATFORM_TOKEN: 'swordfish', DATABASE_URL: 'postgres://localhost/x' });
    expect(problems).toHaveLength(3);
    expect(problems.join()).toContain('MASTER_KEY: is required with DATABASE_URL');
    expect(problems.join()).not.toContain('swordfish');
  });

  it('takes an empty variable for an absent one', () => {
    expect(loadConfig({ PLATFORM_TOKEN: '', DATABASE_URL: '' })).toMatchObject({ platformToken: undefined, databaseUrl: undefined });
  });

  it('says which variables are set and have no effect yet', () => {
    expect(loadConfig({ PROCESSES: '2', LIMIT_PUBLIC_PER_MINUTE: '5' }).unused).toEqual(['PROCESSES']);
  });

  it('is told in full by .env.example', () => {
    expect(readFileSync(new URL('../../.env.example', import.meta.url), 'utf8')).toBe(environmentExample());
  });
});
