import type { Span, Step } from '../core/spans.js';
import { isSuccess } from '../domain/endpoint-health.js';
import type { Claimed } from './delivery.query.js';
import type { AttemptOutcome } from './sender.js';

/** A try as a step of the trace in which its event was written: without the address, which may have a secret in it. */
export function stepOfTry({ id, endpointId, eventId, attemptCount }: Claimed, eventType: string): Step {
  return {
    name: `deliver ${eventType}`,
    kind: 'client',
    attributes: {
      'messaging.system': 'latchkey',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'webhook',
      'messaging.message.id': eventId,
      'http.request.method': 'POST',
      'latchkey.event.type': eventType,
      'latchkey.delivery.id': id,
      'latchkey.webhook.id': endpointId,
      'latchkey.delivery.attempt': attemptCount + 1,
    },
  };
}

/** What came of it: `delivered`, `refused` by an answer that is no 2xx, or `no_answer`. */
export function noteOutcome(span: Span, { responseCode }: AttemptOutcome): void {
  const outcome = responseCode === null ? 'no_answer' : isSuccess(responseCode) ? 'delivered' : 'refused';
  span.note({ attributes: { 'latchkey.delivery.outcome': outcome, 'http.response.status_code': responseCode ?? undefined } });
  if (outcome !== 'delivered') span.fail(responseCode === null ? outcome : String(responseCode));
}
