import { ValidateBy } from 'class-validator';
import { KEY_PARAMETER } from '../auth/credentials.js';
import { Text } from '../core/fields.js';
import { patternListIssue } from '../domain/event-stream.js';

const MAX_LENGTH = 2000;

/** Whether a text is a comma list of types and patterns, said as `patternIssue` does. */
const IsPatternList = (): PropertyDecorator =>
  ValidateBy({
    name: 'isPatternList',
    validator: {
      validate: (value: unknown) => typeof value !== 'string' || patternListIssue(value) === null,
      defaultMessage: (args) => patternListIssue(String(args?.value)) ?? '',
    },
  });

/** What a stream is asked for. */
export class StreamQuery {
  @Text({
    help: 'Only these types of events, as a comma list of types and prefixes. Those of high volume, `validation.*` and `machine.heartbeat`, are only told, and only made, where they are named.',
    max: MAX_LENGTH,
    optional: true,
    default: '*',
    example: 'license.*,machine.dead',
  })
  @IsPatternList()
  types?: string;

  @Text({
    help: 'The id of the last event that was received: the stream goes on behind it. For clients that cannot send `Last-Event-ID`, which counts where both are sent.',
    max: 255,
    optional: true,
    example: '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e',
  })
  lastEventId?: string;

  /** Read by the guard; here so that it is a known parameter. */
  @Text({
    help: 'The key, for clients that cannot send headers. It is in no log.',
    max: MAX_LENGTH,
    optional: true,
  })
  [KEY_PARAMETER]?: string;
}
