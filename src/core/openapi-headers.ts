import { RATE_LIMIT_HEADERS } from '../domain/rate-limit.js';

/** The headers that the reference tells of: those that say which tenant is meant, how to authenticate, and how often. */

export interface Parameter {
  in: string;
  name: string;
  [more: string]: unknown;
}

interface TakesCredential {
  security?: Record<string, string[]>[];
  parameters?: Parameter[];
}

const ENVIRONMENT_HINT =
  'The environment that a user means; absent = `live`. Keys have one of their own: refused with 401 when it is the other.';

/** The headers that say which tenant is meant, where a credential may leave that open. */
export function addTenantHints(operation: TakesCredential): void {
  const taken = (operation.security ?? []).flatMap((scheme) => Object.keys(scheme));
  const takesApiKey = taken.includes('apiKey');
  const takesLicense = taken.includes('license');
  const account = [
    'The account, by its id or slug.',
    ...(takesApiKey ? ["Chooses among a user's accounts; absent = where the user key was made, or the only one."] : []),
    ...(takesLicense ? ['Needed with a license key that the vendor chose.'] : []),
    'Refused with 401 when the credential is of another.',
  ];
  // No examples: pages that try requests out would send them.
  const hint = (name: string, description: string, schema: object): Parameter => ({
    in: 'header',
    name,
    required: false,
    description,
    schema,
  });
  const hints = [
    ...(takesApiKey || takesLicense ? [hint('X-Account-Id', account.join(' '), { type: 'string' })] : []),
    ...(takesApiKey ? [hint('X-Environment', ENVIRONMENT_HINT, { type: 'string', enum: ['live', 'test'] })] : []),
  ];
  if (hints.length > 0) operation.parameters = [...(operation.parameters ?? []), ...hints];
}

/** Of every 401. */
export const challengeHeader = {
  'WWW-Authenticate': {
    description: 'How to authenticate, a challenge for each scheme of `Authorization`.',
    schema: { type: 'string' },
    example: 'Bearer realm="latchkey", ApiKey realm="latchkey", License realm="latchkey"',
  },
};

export const rateLimitHeaderDescriptions = {
  'Retry-After': { description: 'Seconds after which to try again.', schema: { type: 'integer', minimum: 1, example: 42 } },
  'X-RateLimit-Limit': {
    description: 'Requests a window. Where several limits apply, these three show the one with the fewest requests left.',
    schema: { type: 'integer', example: 120 },
  },
  'X-RateLimit-Remaining': { description: 'Requests left in this window.', schema: { type: 'integer', example: 119 } },
  'X-RateLimit-Reset': { description: 'When the window ends, in Unix seconds.', schema: { type: 'integer', example: 1768473060 } },
  RateLimit: {
    description: 'Every limit that applies (draft-ietf-httpapi-ratelimit-headers): `r` requests left, `t` seconds until its window ends.',
    schema: { type: 'string', example: '"management";r=119;t=60' },
  },
  'RateLimit-Policy': {
    description: 'The same limits: `q` requests a window of `w` seconds.',
    schema: { type: 'string', example: '"management";q=120;w=60' },
  },
};

/** On refusals for asking too often, and on what was asked for. */
export function describeRateLimits(responses: Record<string, { headers?: object }>): void {
  const shown = RATE_LIMIT_HEADERS.map((name) => [name, { $ref: `#/components/headers/${name}` }] as const);
  for (const [status, response] of Object.entries(responses)) {
    if (status.startsWith('2')) response.headers = { ...response.headers, ...Object.fromEntries(shown) };
    if (status === '429') response.headers = { 'Retry-After': { $ref: '#/components/headers/Retry-After' }, ...Object.fromEntries(shown) };
  }
}
