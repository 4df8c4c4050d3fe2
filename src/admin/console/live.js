// Attempts as they happen, by server-sent events.
import { account as accountPath } from './api.js';

/** At most this often: a busy subscription has thousands a second. */
const CALM_MS = 500;

/** Calls `look` soon after something happened to the subscription. Gives what ends it. */
export function live(account, id, look) {
  const source = new EventSource(`/api/v1${accountPath(account)}/deliveries/stream?subscriptionId=${encodeURIComponent(id)}`);
  let timer = null;
  const soon = () => {
    timer ??= setTimeout(() => { timer = null; look(); }, CALM_MS);
  };
  source.addEventListener('attempt', soon);
  source.addEventListener('gap', soon);
  return () => { source.close(); clearTimeout(timer); };
}
