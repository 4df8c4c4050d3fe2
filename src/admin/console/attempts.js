// What was said at each attempt of one delivery.
import { get, subscription } from './api.js';
import { dialog, h, loading, replace } from './dom.js';
import { attempt } from './format.js';
import { resend } from './replay.js';

/** Resolves with whether something was sent again. */
export function attempts(context, sub, one) {
  return dialog(`Delivery of ${one.eventId}`, (close) => {
    const place = h('div', {}, loading('attempts'));
    get(`${subscription(context.account, sub.id)}/deliveries/${encodeURIComponent(one.eventId)}/attempts`)
      .then((page) => replace(place, page.items.length === 0
        ? h('p', { class: 'empty' }, 'Nothing was sent yet.')
        : page.items.map(attempt)))
      .catch((error) => replace(place, h('p', { class: 'error' }, error.message)));
    const again = async () => { if (await resend(context, sub, one)) close(true); };
    return [place, context.mayManage && h('div', { class: 'actions' }, h('button', { type: 'button', onclick: again }, 'Resend'))];
  }, { wide: true });
}
