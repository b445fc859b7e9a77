import { Choice, Timestamp } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import { eventFamilies, eventTypes } from '../domain/events.js';

export class LicenseAtQuery {
  @Timestamp({
    help: "As it was at this time, by the license's clock; absent = as it is. Not in the future; before its creation it is 404.",
    optional: true,
  })
  at?: Date;
}

export class LicenseHistoryQuery extends PageQuery {
  @Choice([...eventTypes, ...eventFamilies], {
    help: 'Only events of this type, or with `.*` at the end of every type that begins like this.',
    optional: true,
    example: 'license.*',
  })
  type?: string;
}
