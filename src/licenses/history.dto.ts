import { Choice, Timestamp } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import { type EventType, eventTypes } from '../domain/events.js';

export class LicenseAtQuery {
  @Timestamp({
    help: "As it was at this time, by the license's clock; absent = as it is. Not in the future; before its creation it is 404.",
    optional: true,
  })
  at?: Date;
}

/** `license.*` and the like. */
const families = [...new Set(eventTypes.map((type) => `${type.slice(0, type.indexOf('.'))}.*`))];

export class LicenseHistoryQuery extends PageQuery {
  @Choice([...eventTypes, ...families], {
    help: 'Only events of this type, or with `.*` at the end of every type that begins like this.',
    optional: true,
    example: 'license.*',
  })
  type?: string;
}

/** The types that a filter stands for. */
export function typesOf(filter: string): EventType[] {
  return eventTypes.filter((type) => type === filter || (filter.endsWith('.*') && type.startsWith(filter.slice(0, -1))));
}
