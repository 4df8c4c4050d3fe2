// Attempts as they happen. The browser comes again by itself when a connection ends; where it may not, the
// page goes on by asking now and then.
import { account as accountPath } from './api.js';

/** Calls `attempt` for each, and `stale` where some were missed: at a gap, and after each new connection. */
export function watch(account, subscriptionId, { attempt, stale, state }) {
  const query = new URLSearchParams({ subscriptionId });
  const source = new EventSource(`/api/v1${accountPath(account)}/deliveries/stream?${query}`);
  let opened = false;
  source.addEventListener('open', () => {
    state(true);
    if (opened) stale();
    opened = true;
  });
  source.addEventListener('error', () => state(false));
  source.addEventListener('attempt', (event) => attempt(JSON.parse(event.data)));
  source.addEventListener('gap', stale);
  return () => source.close();
}
