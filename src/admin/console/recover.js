// Recovering what a receiver has missed: counted first, then done as a job that one can watch and cancel.
import { account as accountPath, del, get, post, subscription } from './api.js';
import { dialog, h, replace } from './dom.js';
import { field, select } from './fields.js';

const LOOK_MS = 1000;
const words = {
  queued: 'Waiting for its turn.', running: 'Sending…', succeeded: 'Done.', cancelled: 'Cancelled.', failed: 'It could not go on.',
};
const count = (n) => `${n.toLocaleString()} ${n === 1 ? 'delivery' : 'deliveries'}`;

/** A time as the field for it wants it, in the reader's zone. */
function local(date) {
  return new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

export function recover({ account }, sub) {
  let timer = 0;
  return dialog(`Recover deliveries of “${sub.name}”`, () => {
    const since = field('Since', h('input', { type: 'datetime-local', value: local(new Date(Date.now() - 86400000)), required: true }),
      'Events accepted from this time on, in your time zone.');
    const which = field('Deliveries', select('failed', [
      ['failed', 'All that failed'], ['dead', 'Those that were given up'], ['all', 'All, delivered ones too'],
    ]));
    const until = field('Until', h('input', { type: 'datetime-local' }), 'Left empty: up to now.');
    const rate = field('At most so many a second', h('input', { type: 'number', min: 1, max: 10000, value: '' }),
      'Left empty: as fast as the subscription’s limits allow.');
    const found = h('div', { role: 'status' });
    const body = () => ({
      since: new Date(since.input.value).toISOString(),
      ...(until.input.value === '' ? {} : { until: new Date(until.input.value).toISOString() }),
      status: which.input.value,
      ...(rate.input.value === '' ? {} : { ratePerSecond: Number(rate.input.value) }),
    });
    const fields = { since, until, status: which, ratePerSecond: rate };
    const wrong = (error) => {
      for (const [name, one] of Object.entries(fields)) one.fail(error?.fields?.get(name));
      replace(found, error && !error.fields?.size && h('p', { class: 'error' }, error.message));
    };
    const ask = async (event) => {
      event.preventDefault();
      if (Number.isNaN(Date.parse(since.input.value))) return since.fail('must be a date and time');
      wrong(null);
      replace(found, h('p', { class: 'loading' }, 'Counting…'));
      try {
        const wanted = body();
        const { matched } = await post(`${subscription(account, sub.id)}/recover`, { ...wanted, dryRun: true });
        replace(found, matched === 0
          ? h('p', {}, 'Nothing matches: there is nothing to recover.')
          : [h('p', {}, `${count(matched)} would be sent again.`),
            h('button', { type: 'button', class: 'primary', onclick: () => begin(wanted) }, 'Recover')]);
      } catch (error) {
        wrong(error);
      }
      return undefined;
    };
    const begin = async (wanted) => {
      try {
        follow(await post(`${subscription(account, sub.id)}/recover`, wanted, { 'idempotency-key': crypto.randomUUID?.() ?? String(Math.random()) }));
      } catch (error) {
        wrong(error);
      }
    };
    const path = (job) => `${accountPath(account)}/jobs/${encodeURIComponent(job.id)}`;
    const bar = h('progress', { 'aria-label': 'Progress' });
    const text = h('p', {});
    const cancel = h('button', { type: 'button' }, 'Cancel recovery');
    function follow(job) {
      form.hidden = true;
      replace(place, text, bar, h('div', { class: 'actions' }, cancel));
      const draw = (now) => {
        bar.max = Math.max(1, now.total);
        bar.value = now.done;
        text.textContent = `${words[now.status] ?? now.status} ${now.done.toLocaleString()} of ${count(now.total)}`
          + (now.failed > 0 ? `, ${now.failed.toLocaleString()} could not be made again.` : '.');
        const over = !['queued', 'running'].includes(now.status);
        cancel.hidden = over;
        if (over && now.status === 'succeeded') bar.value = bar.max;
        return over;
      };
      cancel.onclick = async () => {
        cancel.disabled = true;
        await del(path(job)).catch(() => {});
      };
      const look = async () => {
        let over = false;
        try {
          over = draw(await get(path(job)));
        } catch (error) {
          text.textContent = error.message;
        }
        // It goes on without a page that watches.
        if (!over && place.isConnected) timer = setTimeout(look, LOOK_MS);
      };
      clearTimeout(timer);
      draw(job);
      timer = setTimeout(look, 100);
    }
    const form = h('form', { onsubmit: ask, novalidate: true },
      h('p', { class: 'quiet' }, 'Sends again what your receiver has missed. It gets each event with the same id as before.'),
      since.root, until.root, which.root, rate.root,
      h('div', { class: 'actions' },
        h('button', { type: 'submit' }, 'Count')),
      found);
    const place = h('div', { role: 'status' });
    return h('div', {}, form, place);
  }, { wide: true });
}
