import { percentilesOf } from '../support/load.js';
import { say } from '../support/report.js';

const GOAL_MS = 50;
const WARM_UP = 5;

/**
 * How long after its request an event has arrived, signed, while nothing else is going on; beside how long the request itself
 * takes. Each is waited for before the next.
 */
export async function idle({ api, receivers, options }) {
  const endpoint = await api('POST', '/webhooks', { url: `${receivers.origin}/told/idle`, events: ['product.*'] });
  receivers.expect(endpoint.secret);
  const product = await api('POST', '/products', { name: 'Product 0', code: 'idle' });
  await receivers.arrivalOf('Product 0');
  const [answers, arrivals] = [[], []];
  for (let n = 1; n <= options.idle + WARM_UP; n += 1) {
    const name = `Product ${n}`;
    const sentAt = performance.timeOrigin + performance.now();
    await api('PATCH', `/products/${product.id}`, { name });
    const answeredAt = performance.timeOrigin + performance.now();
    const arrivedAt = await receivers.arrivalOf(name);
    if (n <= WARM_UP) continue;
    answers.push(answeredAt - sentAt);
    arrivals.push(arrivedAt - sentAt);
  }
  await api('DELETE', `/webhooks/${endpoint.id}`);
  const [request, event] = [percentilesOf(answers), percentilesOf(arrivals)];
  const later = percentilesOf(arrivals.map((arrival, index) => arrival - answers[index]));
  const ms = (number) => `${number.toFixed(1)} ms`;
  say(`Idle, ${options.idle} events, each alone, from the request to the signed delivery:`);
  say(`  delivery              p50 ${ms(event.p50)}   p99 ${ms(event.p99)}`);
  say(`  the request alone     p50 ${ms(request.p50)}   p99 ${ms(request.p99)}`);
  say(`  delivery after answer p50 ${ms(later.p50)}   p99 ${ms(later.p99)}\n`);
  return later.p50 <= GOAL_MS ? [] : [`Half of the events came more than ${GOAL_MS} ms after the answer to their request.`];
}
