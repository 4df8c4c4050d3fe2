// Sending by hand: a test event, one delivery once more, and everything that was missed.
import { account as accountPath, del, get, post, subscription } from './api.js';
import { dialog, h, replace, toast, unique } from './dom.js';
import { attempt, badge } from './format.js';

const LOOK_MS = 500;

/** A field with its label, and room for its error. */
function field(text, control) {
  control.id = unique('field');
  const error = h('p', { class: 'error', id: unique('error'), role: 'alert', hidden: true });
  control.setAttribute('aria-describedby', error.id);
  return {
    root: h('div', { class: 'field' }, h('label', { for: control.id }, text), control, error),
    say(message) {
      error.textContent = message ?? '';
      error.hidden = !message;
      control.setAttribute('aria-invalid', message ? 'true' : 'false');
    },
  };
}

const choice = (options, value) => {
  const select = h('select', {}, options.map(([key, text]) => h('option', { value: key }, text)));
  if (value !== undefined) select.value = value;
  return select;
};

/** Sends the sample of a type and shows what came of it. */
export function sendTest({ account, types }, sub) {
  return dialog(`Send test event to “${sub.name}”`, () => {
    const kind = choice([['', 'The first that it wants'], ...types.map((type) => [type.id, type.name])]);
    const type = field('Event', kind);
    const outcome = h('div', { role: 'status' });
    const send = h('button', { class: 'primary', type: 'submit' }, 'Send');
    return h('form', {
      onsubmit: async (event) => {
        event.preventDefault();
        type.say(null);
        send.disabled = true;
        replace(outcome, h('p', { class: 'loading', 'aria-busy': 'true' }, 'Waiting for the receiver…'));
        try {
          const one = await post(`${subscription(account, sub.id)}/test`, kind.value ? { type: kind.value } : {});
          replace(outcome, attempt(one));
        } catch (error) {
          type.say(error.fields?.get('type'));
          replace(outcome, error.fields?.has('type') ? null : h('p', { class: 'error' }, error.message));
        }
        send.disabled = false;
      },
    },
    h('p', { class: 'quiet' }, 'One signed request with sample data. It is not tried again and counts for nothing.'),
    type.root, h('div', { class: 'actions' }, send), outcome);
  }, { wide: true });
}

/** Sends one delivery again. Whether it was taken on. */
export async function resend({ account }, sub, one) {
  try {
    await post(`${subscription(account, sub.id)}/resend`, { eventId: one.eventId });
    toast(`${one.eventId} is sent again.`);
    return true;
  } catch (error) {
    toast(error.message, 'bad');
    return false;
  }
}

/** A date-time field speaks the reader's zone. */
const local = (date) => new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);

/** Sends again what was missed: counted first, then as a job that can be watched and cancelled. */
export function recover({ account }, sub) {
  let gone = false;
  return dialog(`Recover deliveries of “${sub.name}”`, () => {
    const since = field('Since', h('input', { type: 'datetime-local', required: true, value: local(new Date(Date.now() - 86400000)) }));
    const until = field('Until', h('input', { type: 'datetime-local' }));
    const status = field('Deliveries', choice([
      ['failed', 'All that failed'], ['dead', 'Those that were given up'], ['all', 'All, delivered ones too'],
    ]));
    const fields = { since, until, status };
    const place = h('div', { role: 'status' });
    const value = (one) => one.root.querySelector('input, select').value;
    const wanted = () => ({
      since: new Date(value(since)).toISOString(),
      ...(value(until) ? { until: new Date(value(until)).toISOString() } : {}),
      status: value(status),
    });
    const ask = async (more) => {
      Object.values(fields).forEach((one) => one.say(null));
      try {
        return await post(`${subscription(account, sub.id)}/recover`, { ...wanted(), ...more });
      } catch (error) {
        let shown = false;
        for (const [name, one] of Object.entries(fields)) {
          const message = error.fields?.get(name);
          if (message) { one.say(message); shown = true; }
        }
        replace(place, shown ? null : h('p', { class: 'error' }, error.message));
        return null;
      }
    };
    const count = async () => {
      replace(place, h('p', { class: 'loading', 'aria-busy': 'true' }, 'Counting…'));
      const found = await ask({ dryRun: true });
      if (!found) return;
      const text = found.matched === 1 ? '1 delivery would be sent again.' : `${found.matched} deliveries would be sent again.`;
      replace(place, h('p', {}, text),
        found.matched > 0 && h('button', { class: 'primary', type: 'button', onclick: start }, 'Recover'));
      place.querySelector('button')?.focus();
    };
    const start = async () => {
      const job = await ask({});
      if (job) watch(account, job, place, () => gone);
    };
    return h('form', { onsubmit: (event) => { event.preventDefault(); count(); } },
      since.root, until.root, status.root,
      h('div', { class: 'actions' }, h('button', { type: 'submit' }, 'Count')), place);
  }, { wide: true }).finally(() => { gone = true; });
}

const words = { queued: 'Waiting', running: 'Running', succeeded: 'Done', cancelled: 'Cancelled', failed: 'Failed' };
const kinds = { succeeded: 'good', cancelled: 'quiet', failed: 'bad' };

/** Shows a job until it is over. It goes on where nobody looks. */
async function watch(account, first, place, gone) {
  let job = first;
  const path = `${accountPath(account)}/jobs/${encodeURIComponent(job.id)}`;
  const bar = h('progress', { 'aria-label': 'Progress' });
  const text = h('p', {});
  const cancel = h('button', {
    type: 'button',
    onclick: async () => {
      cancel.disabled = true;
      try { job = await del(path) ?? job; draw(); } catch (error) { toast(error.message, 'bad'); }
    },
  }, 'Cancel job');
  replace(place, bar, text, cancel);
  const draw = () => {
    const through = job.done + job.failed;
    if (job.total) { bar.max = job.total; bar.value = through; }
    const of = job.total === null || job.total === undefined ? '' : ` of ${job.total}`;
    replace(text, badge(kinds[job.status] ?? 'warn', words[job.status] ?? job.status),
      ` ${job.done}${of} delivered.`, job.failed > 0 && ` ${job.failed} failed again: the schedule goes on with them.`);
    cancel.hidden = Boolean(job.finishedAt);
    if (job.finishedAt && !job.total) bar.value = bar.max = 1;
  };
  draw();
  while (!job.finishedAt && !gone()) {
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
    try {
      job = await get(path);
      draw();
    } catch (error) {
      replace(text, h('span', { class: 'error' }, error.message));
    }
  }
}
