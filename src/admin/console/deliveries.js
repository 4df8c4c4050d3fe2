// The deliveries of a subscription: newest first, by status, and as they happen.
import { account as accountPath, get } from './api.js';
import { attemptsOf, resend } from './attempts.js';
import { h, keyed, loading, replace, toast } from './dom.js';
import { badge, delivery, time } from './format.js';
import { watch } from './live.js';
import { menu } from './menu.js';

const PAGE = 50;
/** Rows kept on the page while one only watches. */
const ROWS_MAX = 200;

/** `noticed` is called for each attempt that happens meanwhile. */
export function deliveriesOf(context, sub, noticed) {
  const { account, types, mayManage } = context;
  let wanted = '';
  let next = null;
  let shown = [];
  const body = h('tbody');
  const place = h('div', {}, loading('deliveries'));
  const live = h('span', { class: 'live quiet', role: 'status' }, 'Connecting…');
  const more = h('button', { type: 'button', onclick: () => load(next).catch(say) }, 'Older');
  const table = h('div', {},
    h('div', { class: 'scroll' }, h('table', { class: 'rows' },
      h('thead', {}, h('tr', {}, ['Event', 'Type', 'Status', 'Attempts', 'Accepted', 'Last attempt', 'Next attempt']
        .map((text) => h('th', { scope: 'col' }, text)),
      h('th', { scope: 'col' }, h('span', { class: 'sr' }, 'Actions')))),
      body)),
    more);
  const say = (error) => toast(error.message, 'bad');
  const key = (one) => one.eventId;

  const row = (one) => h('tr', {},
    h('th', { scope: 'row' }, h('button', {
      class: 'link mono', type: 'button', id: `event-${one.eventId}`, onclick: () => attemptsOf(context, sub, one),
    }, one.eventId)),
    h('td', { title: one.type }, types.find((type) => type.id === one.type)?.name ?? one.type),
    h('td', {}, badge(...delivery[one.status])),
    h('td', { 'data-label': 'Attempts' }, String(one.attempts)),
    h('td', { 'data-label': 'Accepted' }, time(one.acceptedAt)),
    h('td', { 'data-label': 'Last attempt' }, time(one.lastAttemptAt)),
    h('td', { 'data-label': 'Next attempt' }, time(one.nextAttemptAt)),
    h('td', { class: 'end' }, menu('More', '…', [
      ['Show attempts', () => attemptsOf(context, sub, one)],
      mayManage && ['Resend', () => resend(account, sub, one.eventId)],
    ], { id: `more-${one.eventId}` })));

  function draw() {
    more.hidden = !next;
    keyed(body, shown, key, row);
    const what = shown.length > 0 || next ? table : empty();
    if (place.firstChild !== what) replace(place, what);
  }

  const empty = () => h('div', { class: 'empty' }, wanted
    ? h('p', {}, 'No deliveries of this kind.')
    : [
      h('p', {}, 'No deliveries yet: they appear here as events come in.'),
      mayManage && h('p', { class: 'quiet' }, 'To see what your receiver would get, choose Send test event.'),
    ]);

  async function load(cursor) {
    const query = new URLSearchParams({ subscriptionId: sub.id, limit: String(PAGE) });
    if (wanted) query.set('status', wanted);
    if (cursor) query.set('cursor', cursor);
    const page = await get(`${accountPath(account)}/deliveries?${query}`);
    shown = cursor ? [...shown, ...page.items] : page.items;
    next = page.next;
    draw();
  }

  /** One attempt has happened: its row is new, changed, or no longer of this kind. */
  function happened(told) {
    const { attempt, ...one } = told;
    noticed(attempt);
    const at = shown.findIndex((have) => have.eventId === one.eventId);
    const fits = !wanted || wanted === one.status;
    if (at >= 0 && fits) shown = shown.with(at, one);
    else if (at >= 0) shown = shown.toSpliced(at, 1);
    else if (fits) shown = [one, ...shown];
    if (!more.isConnected || shown.length <= ROWS_MAX) return later();
    // What is cut off is read again by Older, from the beginning.
    shown = shown.slice(0, PAGE);
    load(null).catch(() => {});
    return undefined;
  }

  // Many in one moment are drawn once.
  let due = 0;
  const later = () => {
    if (due === 0) due = requestAnimationFrame(() => { due = 0; draw(); });
  };

  const choice = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filter deliveries by status' },
    [['', 'All'], ...Object.entries(delivery).map(([status, [, text]]) => [status, text])].map(([status, text]) => h('button', {
      type: 'button', class: 'chip', 'aria-pressed': String(status === wanted),
      onclick: (event) => {
        wanted = status;
        for (const one of choice.children) one.setAttribute('aria-pressed', String(one === event.target));
        load(null).catch(say);
      },
    }, text)));
  const root = h('section', { 'aria-label': 'Deliveries' },
    h('div', { class: 'page-head' }, h('h2', {}, 'Deliveries'), live, choice), place);
  const stop = watch(account, sub.id, {
    attempt: happened,
    stale: () => load(null).catch(() => {}),
    state: (on) => {
      live.textContent = on ? 'Live' : 'Not live: trying again…';
      live.classList.toggle('on', on);
    },
  });
  return {
    root,
    load: () => load(null),
    /** What waits for its first attempt is told by nobody: asked for now and then, not to who reads on. */
    refresh: () => (shown.length > PAGE ? Promise.resolve() : load(null)),
    stop,
  };
}
