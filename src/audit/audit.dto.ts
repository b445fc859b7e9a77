import { AnyObject, Choice, Flag, Id, Integer, Nested, QueryInteger, Text, Timestamp } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import type { Actor } from '../core/request-context.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { type ChainBreak, type ChainEnd, chainProblems } from '../domain/audit-chain.js';
import type { AuditEntry } from '../generated/prisma/client.js';

const actorTypes = ['api_key', 'user', 'license', 'platform', 'operator', 'system', 'anonymous'] as const satisfies Actor['type'][];
const ACTOR_FILTER = new RegExp(`^(${actorTypes.join('|')})(:.+)?$`);
const ADDRESS = /^[0-9A-Fa-f.:]+$/;
const EXAMPLE_ID = '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e';

export class AuditQuery extends PageQuery {
  @Text({
    help: `Only what this one did, as \`type\` or \`type:id\`; the type is one of ${actorTypes.join(', ')}.`,
    max: 100,
    pattern: ACTOR_FILTER,
    patternHelp: `must be type or type:id; the type is one of ${actorTypes.join(', ')}`,
    optional: true,
    example: `api_key:${EXAMPLE_ID}`,
  })
  actor?: string;

  @Text({
    help: 'Only this action, or with `.*` at the end every action that begins like this.',
    max: 100,
    pattern: /^[a-z0-9_.-]+(\.\*)?$/,
    patternHelp: 'must be an action, like license.suspended, or the beginning of some, like license.*',
    optional: true,
    example: 'license.*',
  })
  action?: string;

  @Text({
    help: 'Only what was done to this, as `type` or `type:id`.',
    max: 200,
    pattern: /^[a-z0-9_-]+(:.+)?$/,
    patternHelp: 'must be type or type:id, like license or license:<id>',
    optional: true,
    example: `license:${EXAMPLE_ID}`,
  })
  resource?: string;

  @Text({
    help: 'Only what came from this address.',
    max: 45,
    pattern: ADDRESS,
    patternHelp: 'must be an IP address',
    optional: true,
    example: '203.0.113.7',
  })
  ip?: string;

  @Timestamp({ help: 'Only what happened at this time or later.', optional: true })
  from?: Date;

  @Timestamp({ help: 'Only what happened before this.', optional: true })
  to?: Date;
}

export class AuditActorView {
  @Choice(actorTypes, {
    help: '`operator` is the command line, `system` the server itself; `anonymous` showed nothing that could be recognised.',
  })
  type!: Actor['type'];

  @Text({ help: 'Of the API key, user or license; null where the type says it all.', max: 100, nullable: true, example: EXAMPLE_ID })
  id!: string | null;
}

export class AuditResourceView {
  @Text({ help: 'Kind of resource.', max: 100, example: 'license' })
  type!: string;

  @Text({ help: 'Its id.', max: 100, example: EXAMPLE_ID })
  id!: string;
}

export class AuditEntryView {
  @Id({ help: 'UUID v7.' })
  id!: string;

  @Choice(['live', 'test'], { help: 'The environment in which it happened.' })
  environment!: EnvironmentName;

  @Text({ help: 'What happened: `<resource>.<what>`, or `auth.failed`.', max: 100, example: 'license.suspended' })
  action!: string;

  @Nested(() => AuditActorView, { help: 'Who did it.' })
  actor!: AuditActorView;

  @Text({ help: 'Address of the client; null = none, or of several.', max: 45, nullable: true, example: '203.0.113.7' })
  ip!: string | null;

  @Text({
    help: 'Of the request that did it: the one of its answer and its log lines. Of several failures alike, the first one’s.',
    max: 128,
    nullable: true,
    example: EXAMPLE_ID,
  })
  requestId!: string | null;

  @Nested(() => AuditResourceView, { help: 'What it was done to; null for `auth.failed`.', nullable: true })
  resource!: AuditResourceView | null;

  @AnyObject({
    help: 'Fields as they were: of a change those that changed, of a deletion all; null for what was not there before. Never a secret.',
    nullable: true,
    example: { status: 'active' },
  })
  before!: object | null;

  @AnyObject({
    help: 'The same fields as they are since, or all of what was created; null for what is gone. Never a secret.',
    nullable: true,
    example: { status: 'suspended' },
  })
  after!: object | null;

  @Text({ help: "Of `auth.failed`: the error's code.", max: 100, nullable: true, example: null })
  code!: string | null;

  @Text({ help: 'Of `auth.failed`: the route that was asked for; null = several.', max: 200, nullable: true, example: null })
  route!: string | null;

  @Text({ help: 'Of `auth.failed`: first characters of the API key that was shown.', max: 12, nullable: true, example: null })
  keyPrefix!: string | null;

  @Integer({ help: 'How many failures alike the entry stands for; 1 for everything else.', min: 1, example: 1 })
  count!: number;

  @Timestamp({ help: 'When it happened; of several failures alike, the last one.' })
  createdAt!: Date;
}

export class AuditChainBreakView {
  @Choice(chainProblems, {
    help: 'No link has this position; the entry is gone; the hash is not that of its entry and predecessor; or no link proves the entry.',
  })
  problem!: ChainBreak['problem'];

  @Integer({ help: 'Position in the chain, from 1; null for an entry that has none.', nullable: true, min: 1, example: 17 })
  position!: number | null;

  @Id({ help: 'The entry; null for a position that has none.', nullable: true })
  entryId!: string | null;
}

export class AuditChainView {
  @Flag({ help: 'Whether every link holds, and every entry has one.', example: true })
  valid!: boolean;

  @Integer({ help: 'How many entries the chain proves, from the first one on; up to the break where there is one.', example: 42 })
  entries!: number;

  @Text({
    help: 'SHA-256 of the last link that holds, in hex; null while there is none.',
    max: 64,
    nullable: true,
    example: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  })
  head!: string | null;

  @Nested(() => AuditChainBreakView, { help: 'Where the chain is broken; null when valid.', nullable: true })
  brokenAt!: AuditChainBreakView | null;
}

export class AuthFailuresQuery {
  @Choice(['ip', 'code', 'keyPrefix'], { help: 'What to count by.', optional: true, default: 'ip' })
  groupBy?: 'ip' | 'code' | 'keyPrefix';

  @Timestamp({ help: 'Only failures at this time or later.', optional: true })
  from?: Date;

  @Timestamp({ help: 'Only failures before this.', optional: true })
  to?: Date;

  @QueryInteger({ help: 'How many to answer at most.', min: 1, max: 100, optional: true, default: 25 })
  limit?: number;
}

class AuthFailuresView {
  @Integer({ help: 'How many failures.', min: 1, example: 12 })
  count!: number;

  @Timestamp({ help: 'When the last of them was.' })
  lastAt!: Date;
}

export class AuthFailuresByIpView extends AuthFailuresView {
  @Text({
    help: 'Address of the client; null = addresses that were too many to tell apart.',
    max: 45,
    nullable: true,
    example: '203.0.113.7',
  })
  ip!: string | null;
}

export class AuthFailuresByCodeView extends AuthFailuresView {
  @Text({ help: "The error's code.", max: 100, example: 'API_KEY_REVOKED' })
  code!: string;
}

export class AuthFailuresByKeyPrefixView extends AuthFailuresView {
  @Text({
    help: 'First characters of the API key that was shown; null = none was, or more than could be told apart.',
    max: 12,
    nullable: true,
    example: 'lk_live_a1b2',
  })
  keyPrefix!: string | null;
}

export function toAuditEntryView(row: AuditEntry, environment: EnvironmentName): AuditEntryView {
  return {
    id: row.id,
    environment,
    action: row.action,
    actor: { type: row.actorType as Actor['type'], id: row.actorId },
    ip: row.ip,
    requestId: row.requestId,
    resource: row.resourceType === null || row.resourceId === null ? null : { type: row.resourceType, id: row.resourceId },
    before: row.before as object | null,
    after: row.after as object | null,
    code: row.code,
    route: row.route,
    keyPrefix: row.keyPrefix,
    count: row.count,
    createdAt: row.createdAt,
  };
}

export function toAuditChainView(end: ChainEnd, brokenAt: ChainBreak | null): AuditChainView {
  const head = end.position === 0 ? null : Buffer.from(end.hash).toString('hex');
  return { valid: brokenAt === null, entries: end.position, head, brokenAt };
}
