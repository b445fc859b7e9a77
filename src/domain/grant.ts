/** What a credential may do, in all the ways in which keys are limited (contract: auth.md, "API keys"). */
export interface Grant {
  /** Empty = full access. */
  scopes: readonly string[];
  /** Requests a minute; null = no limit of its own. */
  rateLimitPerMinute: number | null;
  /** CIDR ranges; empty = anywhere. */
  allowedIps: readonly string[];
  /** When it ends; null = never. */
  endsAt: Date | null;
  flairs: readonly string[];
}
