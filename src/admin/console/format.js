// Times and states in words.
import { h } from './dom.js';

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });
const steps = [[60, 'second'], [60, 'minute'], [24, 'hour'], [7, 'day'], [4.35, 'week'], [12, 'month'], [Infinity, 'year']];

function distance(date) {
  let amount = (date - Date.now()) / 1000;
  if (Math.abs(amount) < 5) return 'now';
  for (const [size, unit] of steps) {
    if (Math.abs(amount) < size) return relative.format(Math.round(amount), unit);
    amount /= size;
  }
  return '';
}

/** A time from now, with the exact one, in the reader's zone, on hover. */
export function time(text, absent = '–') {
  if (!text) return h('span', { class: 'quiet' }, absent);
  const date = new Date(text);
  return h('time', { datetime: text, title: exact.format(date) }, distance(date));
}

/** Times on the page grow old while one looks at them. */
export function keepTimes() {
  setInterval(() => {
    for (const element of document.querySelectorAll('time[datetime]')) {
      const text = distance(new Date(element.dateTime));
      if (element.textContent !== text) element.textContent = text;
    }
  }, 5000);
}

/** 7 ms, 1.4 s, 12 min, 3.5 h. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const [size, unit] = [[1000, 's'], [60000, 'min'], [3600000, 'h'], [86400000, 'days']].findLast(([least]) => ms >= least);
  return `${(ms / size).toFixed(ms / size < 10 ? 1 : 0)} ${unit}`;
}

export const badge = (kind, text) => h('span', { class: `badge ${kind}` }, text);

const reasons = {
  gone: 'the receiver answered 410: it is gone',
  failing: 'nothing but failures for too long',
  blocked: 'the next event in order could not be delivered',
};

export function status(sub) {
  if (sub.status === 'active') return badge('good', 'Active');
  const reason = reasons[sub.disabledReason];
  return reason ? badge('bad', `Inactive: ${reason}`) : badge('quiet', 'Inactive');
}

export function health(sub) {
  const { state, breaker, pending } = sub.health;
  if (sub.status !== 'active') return h('span', { class: 'quiet' }, '–');
  if (breaker === 'open') return badge('bad', 'Host paused: it keeps failing');
  if (breaker === 'half_open') return badge('warn', 'Host is being tried again');
  if (state === 'failing') return badge('bad', pending ? `Failing, ${pending} waiting` : 'Failing');
  if (state === 'lagging') return badge('warn', 'Catching up');
  return badge('good', 'Healthy');
}

export const delivery = {
  pending: ['quiet', 'Pending'],
  delivered: ['good', 'Delivered'],
  retrying: ['warn', 'Retrying'],
  dead: ['bad', 'Dead'],
};

/** `["*"]` → All events. */
export function events(selectors, types) {
  if (selectors.includes('*')) return 'All events';
  const names = selectors.map((one) => types.find((type) => type.id === one)?.name ?? one);
  return names.length <= 2 ? names.join(', ') : `${names.slice(0, 2).join(', ')} and ${names.length - 2} more`;
}
