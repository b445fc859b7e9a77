import { describe, expect, it } from '@jest/globals';
import { attachmentChanges, entitlementsInForce, type Entitlement } from './entitlements.js';

const now = new Date('2026-06-15T12:00:00.000Z');
const soon = new Date(now.getTime() + 1);
const entitlement = (code: string, expiresAt: Date | null = null, quantity: number | null = null): Entitlement => ({
  code,
  expiresAt,
  quantity,
});

describe('the entitlements in force', () => {
  it.each<{ what: string; inherited: string[]; own: Entitlement[]; inForce: Entitlement[] }>([
    { what: 'none', inherited: [], own: [], inForce: [] },
    { what: 'inherited: without an end', inherited: ['pro'], own: [], inForce: [entitlement('pro')] },
    { what: 'own: with its end and quantity', inherited: [], own: [entitlement('pro', soon, 3)], inForce: [entitlement('pro', soon, 3)] },
    { what: 'own that ends now: gone', inherited: [], own: [entitlement('pro', now)], inForce: [] },
    {
      what: 'own beside inherited: its own wins',
      inherited: ['pro'],
      own: [entitlement('pro', soon, 3)],
      inForce: [entitlement('pro', soon, 3)],
    },
    {
      what: 'own that has ended beside inherited: the inherited one stays',
      inherited: ['pro'],
      own: [entitlement('pro', now, 3)],
      inForce: [entitlement('pro')],
    },
    {
      what: 'sorted by code',
      inherited: ['sync', 'export'],
      own: [entitlement('pro'), entitlement('api')],
      inForce: [entitlement('api'), entitlement('export'), entitlement('pro'), entitlement('sync')],
    },
  ])('$what', ({ inherited, own, inForce }) => {
    expect(entitlementsInForce(inherited, own, now)).toEqual(inForce);
  });
});

describe('what came and went', () => {
  it.each<{ what: string; before: Entitlement[]; after: Entitlement[]; detached: Entitlement[]; attached: Entitlement[] }>([
    { what: 'nothing', before: [entitlement('pro', soon, 3)], after: [entitlement('pro', new Date(soon), 3)], detached: [], attached: [] },
    { what: 'one came', before: [], after: [entitlement('pro')], detached: [], attached: [entitlement('pro')] },
    { what: 'one went', before: [entitlement('pro')], after: [], detached: [entitlement('pro')], attached: [] },
    {
      what: 'another quantity: it went and came',
      before: [entitlement('pro', null, 1), entitlement('api')],
      after: [entitlement('api'), entitlement('pro', null, 2)],
      detached: [entitlement('pro', null, 1)],
      attached: [entitlement('pro', null, 2)],
    },
    {
      what: 'an end where there was none',
      before: [entitlement('pro')],
      after: [entitlement('pro', soon)],
      detached: [entitlement('pro')],
      attached: [entitlement('pro', soon)],
    },
  ])('$what', ({ before, after, detached, attached }) => {
    expect(attachmentChanges(before, after)).toEqual({ detached, attached });
  });
});
