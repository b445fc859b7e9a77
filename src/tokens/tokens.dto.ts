import { ApiProperty } from '@nestjs/swagger';
import { Choice, ChoiceList, Id, Nested, Text, Timestamp } from '../core/fields.js';
import { memberRoles, type MemberRole, roles } from '../domain/roles.js';
import { allScopes, type Scope, scopePresets, scopes } from '../domain/scopes.js';

/** Keys are far shorter; a token that is sent instead of one is refused as what it is. */
const MAX_SECRET_LENGTH = 4000;

export class ExchangeKeyBody {
  @Text({
    help: 'Account that the API key belongs to, or that a user wants the token for: id or slug.',
    max: 63,
    optional: true,
    example: 'acme',
  })
  oid?: string;

  @Id({ help: 'The user, with a user key as `secret`.', optional: true })
  uid?: string;

  @Text({ help: 'The API key, or user key.', max: MAX_SECRET_LENGTH, optional: true, example: 'lk_live_8fJ2…' })
  secret?: string;

  @ChoiceList(allScopes, {
    help: 'What the token may do; absent = whatever the key may. Never more than the key.',
    optional: true,
    example: ['licenses:read'],
  })
  scopes?: Scope[];

  @Text({
    help: 'The same as `scopes`, as OAuth 2 spells it: separated by spaces.',
    max: 1000,
    optional: true,
    example: 'licenses:read',
  })
  scope?: string;

  @Choice(['client_credentials'], { help: 'The OAuth 2 spelling of this call (RFC 6749, section 4.4).', optional: true })
  grant_type?: 'client_credentials';

  @Text({
    help: 'OAuth 2: the `oid`, or with a user key the `uid`. Also as the user name of HTTP Basic.',
    max: 63,
    optional: true,
    example: 'acme',
  })
  client_id?: string;

  @Text({
    help: 'OAuth 2: the `secret`. Also as the password of HTTP Basic.',
    max: MAX_SECRET_LENGTH,
    optional: true,
    example: 'lk_live_8fJ2…',
  })
  client_secret?: string;
}

/** The OAuth 2 shape (RFC 6749, section 5.1), with the token under a second name. */
export class TokenView {
  @ApiProperty({
    type: String,
    description: 'The token: `Authorization: Bearer <jwt>`, wherever its key is taken.',
    example: 'eyJhbGciOiJFZERTQSIs…',
  })
  jwt!: string;

  @ApiProperty({ type: String, description: 'The same.', example: 'eyJhbGciOiJFZERTQSIs…' })
  access_token!: string;

  @Choice(['Bearer'], { help: 'How it is sent.' })
  token_type!: 'Bearer';

  @ApiProperty({ type: 'integer', description: 'Seconds that it is good for: an hour, or what its key has left.', example: 3600 })
  expires_in!: number;

  @ApiProperty({ type: String, description: 'What it may do, separated by spaces.', example: 'licenses:read machines:read' })
  scope!: string;
}

const presetNames = Object.keys(scopePresets) as (keyof typeof scopePresets)[];

export class ScopeView {
  @Choice(allScopes, { help: 'The scope.', example: 'licenses:read' })
  name!: Scope;

  @Text({ help: 'What it allows.', max: 255, example: scopes['licenses:read'] })
  description!: string;

  @ChoiceList(presetNames, { help: 'Presets of API keys that have it.', example: ['full', 'read-only'] })
  presets!: string[];

  @ChoiceList(memberRoles, { help: 'Roles of users that have it.', example: ['owner', 'admin'] })
  roles!: MemberRole[];
}

export class UserAccountView {
  @Id({ help: 'Of the account: what `X-Account-Id` and `oid` take.' })
  id!: string;

  @Text({ help: 'Name of the vendor.', max: 255, example: 'Acme Software' })
  name!: string;

  @Text({ help: 'Short name: stands for the id.', max: 63, example: 'acme' })
  slug!: string;

  @Choice(memberRoles, { help: "The user's role there." })
  role!: MemberRole;
}

export class UserKeyInfoView {
  @Id({ help: 'Of the user.' })
  userId!: string;

  @Timestamp({ help: 'When the key ends; null = never.', nullable: true, example: null })
  expiresAt!: Date | null;

  @Nested(() => UserAccountView, { help: 'The accounts that the key opens.', list: true })
  accounts!: UserAccountView[];
}

/** Every scope with where it comes from by itself. */
export function scopeCatalogue(): ScopeView[] {
  // An empty list is no restriction.
  const has = (granted: readonly string[], scope: Scope): boolean => granted.length === 0 || granted.includes(scope);
  return allScopes.map((name) => ({
    name,
    description: scopes[name],
    presets: presetNames.filter((preset) => has(scopePresets[preset], name)),
    roles: memberRoles.filter((role) => has(roles[role], name)),
  }));
}
