// Deleting a subscription, once somebody has said that they mean it.
import { del, subscription } from './api.js';
import { confirm, toast } from './dom.js';

/** Whether it is gone. */
export async function remove(account, sub) {
  const sure = await confirm('Delete webhook subscription',
    `Delete “${sub.name}”? Deliveries that still wait for it are dropped, and what was delivered is listed no longer. This cannot be undone.`, 'Delete');
  if (!sure) return false;
  try {
    await del(subscription(account, sub.id));
    toast(`“${sub.name}” was deleted.`);
    return true;
  } catch (error) {
    toast(error.message, 'bad');
    return false;
  }
}
