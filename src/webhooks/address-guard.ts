import { isIP, type LookupFunction } from 'node:net';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { Config } from '../core/config.js';
import { endpointUrlIssue, hostOf, NOT_PUBLIC } from '../domain/endpoint-url.js';
import { mayConnectTo, type Reach } from '../domain/public-address.js';
import { resolveName, type ResolveName } from './resolver.js';

/** Token of the resolver, where it is not the system's. */
export const RESOLVE_NAME = Symbol('ResolveName');

const RESOLVE_TIMEOUT_MS = 3000;
const LOOPBACK_ADDRESSES = ['127.0.0.1', '::1'];

/** An address that nobody may be connected to. Says nothing of what was found. */
export class NotPublicError extends Error {
  constructor() {
    super('not a public address');
  }
}

/** A name that has no address, as far as can be found out. */
export class NoAddressError extends Error {
  constructor() {
    super('no address');
  }
}

/**
 * Keeps webhooks out of the network that the server stands in (contract: webhooks.md, "Endpoints"): asked when an endpoint
 * is made or changed, and again at every connection, on the addresses that the connection then uses.
 */
@Injectable()
export class AddressGuard {
  readonly reach: Reach;

  constructor(
    @Inject(Config) config: Pick<Config, 'webhookAllowLoopback'>,
    @Optional() @Inject(RESOLVE_NAME) private readonly resolve: ResolveName = resolveName,
  ) {
    this.reach = { allowLoopback: config.webhookAllowLoopback };
  }

  /**
   * What is wrong with an endpoint's URL, to follow the field's name; null = nothing. A name that does not resolve (yet) is
   * accepted; one with any address that is not public is not.
   */
  async issueOf(url: string): Promise<string | null> {
    const issue = endpointUrlIssue(url, this.reach);
    if (issue !== null) return issue;
    const host = hostOf(new URL(url));
    if (host.kind !== 'name') return null;
    const addresses = await withinTime(this.resolve(host.text), RESOLVE_TIMEOUT_MS).catch(() => []);
    return addresses.every((address) => mayConnectTo(address, this.reach)) ? null : NOT_PUBLIC;
  }

  /** Whether a host that is an address, not a name, is one that nobody may be connected to. */
  refuses(host: string): boolean {
    return isIP(host) !== 0 && !mayConnectTo(host, this.reach);
  }

  /**
   * The addresses that a connection to this host may use: an address itself, a name what it resolves to now.
   * @throws NotPublicError where none of them is public
   * @throws NoAddressError
   */
  async addressesFor(host: string): Promise<string[]> {
    const all = await this.allAddressesOf(host);
    if (all.length === 0) throw new NoAddressError();
    const allowed = all.filter((address) => mayConnectTo(address, this.reach));
    if (allowed.length === 0) throw new NotPublicError();
    return allowed;
  }

  /** For `net.connect`, which calls it for names alone: whoever connects asks `refuses` about addresses. */
  readonly lookup: LookupFunction = (hostname, options, done) => {
    this.addressesFor(hostname).then(
      (addresses) => {
        const found = addresses.map((address) => ({ address, family: isIP(address) }));
        const first = found[0];
        if (options.all === true || first === undefined) done(null, found);
        else done(null, first.address, first.family);
      },
      (error: unknown) => {
        done(error as NodeJS.ErrnoException, []);
      },
    );
  };

  private async allAddressesOf(host: string): Promise<string[]> {
    if (isIP(host) !== 0) return [host];
    const name = host.toLowerCase().replace(/\.$/, '');
    // Nobody is asked what localhost is (RFC 6761, section 6.3).
    if (name === 'localhost' || name.endsWith('.localhost')) return LOOPBACK_ADDRESSES;
    return this.resolve(name).catch(() => []);
  }
}

async function withinTime<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error('took too long'));
    }, timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => {
    clearTimeout(timer);
  });
}
