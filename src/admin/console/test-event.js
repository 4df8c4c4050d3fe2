// Sending a test event, and what came of it.
import { post, subscription } from './api.js';
import { exchange, outcome } from './attempts.js';
import { dialog, h, replace } from './dom.js';
import { field } from './fields.js';
import { duration } from './format.js';

function typesIn(types, chosen) {
  const groups = [...new Set(types.map((type) => type.group))];
  return h('select', {}, groups.map((group) => h('optgroup', { label: group },
    types.filter((type) => type.group === group)
      .map((type) => h('option', { value: type.id, selected: type.id === chosen }, type.name)))));
}

export function sendTest({ account, types }, sub) {
  return dialog('Send test event', () => {
    const first = types.find((type) => sub.events.some((one) => one === type.id
      || one === '*' || (one.endsWith('.*') && type.id.startsWith(one.slice(0, -1)))));
    const type = field('Event type', typesIn(types, first?.id),
      'The sample of this type is sent now, once, signed as every delivery is.');
    const result = h('div', { role: 'status' });
    const send = h('button', { type: 'submit', class: 'primary' }, 'Send');
    const submit = async (event) => {
      event.preventDefault();
      send.disabled = true;
      replace(result, h('p', { class: 'loading' }, `Waiting for ${new URL(sub.callbackUrl).host}…`));
      try {
        const attempt = await post(`${subscription(account, sub.id)}/test`, { type: type.input.value });
        replace(result, h('p', {}, outcome(attempt), ` after ${duration(attempt.durationMs)}`), exchange(attempt));
      } catch (error) {
        replace(result, h('p', { class: 'error' }, error.message));
      } finally {
        send.disabled = false;
      }
    };
    return h('form', { onsubmit: submit, novalidate: true },
      h('p', { class: 'quiet' }, `To ${sub.callbackUrl}`), type.root,
      h('div', { class: 'actions' }, send),
      result);
  }, { wide: true });
}
