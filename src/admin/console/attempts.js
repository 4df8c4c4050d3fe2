// What was sent and what was answered, attempt by attempt.
import { all, post, subscription } from './api.js';
import { dialog, h, loading, replace, toast } from './dom.js';
import { badge, duration, time } from './format.js';

const triggers = {
  event: 'as the event came', retry: 'by the retry schedule', resend: 'resent by hand', recover: 'by a recovery', test: 'as a test',
};

const lines = (headers) => headers.map(({ name, value }) => `${name}: ${value}`).join('\n');

export function outcome(one) {
  return one.error ? badge('bad', `${one.error.kind}: ${one.error.message}`) : badge('good', `Delivered, ${one.statusCode}`);
}

const block = (label, text) => h('pre', { tabindex: '0', 'aria-label': label }, text);

export function exchange(one) {
  return [
    h('h3', {}, 'Request'),
    one.request.changedSince && h('p', { class: 'quiet' },
      'The subscription was changed after this attempt. URL and custom headers are shown as they are now.'),
    block('Request', `POST ${one.request.url}\n${lines(one.request.headers)}\n\n(${one.request.bodySize} bytes)`),
    h('h3', {}, 'Response'),
    one.response
      ? block('Response', `${one.statusCode ?? ''}\n${lines(one.response.headers)}\n\n${one.response.body}`
        + (one.response.truncated ? '\n… (cut off)' : ''))
      : h('p', { class: 'quiet' }, 'There was none.'),
  ];
}

function attempt(one, newest) {
  return h('details', { class: 'attempt', open: newest },
    h('summary', {}, h('strong', {}, `Attempt ${one.number}`), ' ', time(one.startedAt), ` · ${duration(one.durationMs)} · `,
      h('span', { class: 'quiet' }, triggers[one.trigger] ?? one.trigger), ' ', outcome(one)),
    exchange(one));
}

/** Asks that a delivery be made once more. Whether it will be. */
export async function resend(account, sub, eventId) {
  try {
    await post(`${subscription(account, sub.id)}/resend`, { eventId });
    toast(`${eventId} is sent again.`);
    return true;
  } catch (error) {
    toast(error.message, 'bad');
    return false;
  }
}

export function attemptsOf({ account, mayManage }, sub, one) {
  return dialog(`Delivery of ${one.eventId}`, (close) => {
    const place = h('div', {}, loading('attempts'));
    all(`${subscription(account, sub.id)}/deliveries/${encodeURIComponent(one.eventId)}/attempts`)
      .then((items) => replace(place, items.length === 0
        ? h('p', { class: 'empty' }, 'Nothing was sent yet.')
        : items.map((item, at) => attempt(item, at === items.length - 1)).reverse()))
      .catch((error) => replace(place, h('p', { class: 'error' }, error.message)));
    return [
      mayManage && h('p', {}, h('button', {
        type: 'button', onclick: async () => { if (await resend(account, sub, one.eventId)) close(true); },
      }, 'Resend')),
      place,
    ];
  }, { wide: true });
}
