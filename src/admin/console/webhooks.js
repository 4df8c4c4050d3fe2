// The table of subscriptions.
import { all, subscriptions } from './api.js';
import { h, keyed, replace } from './dom.js';
import { events, health, status, time } from './format.js';
import { menu } from './menu.js';
import { openPanel } from './panel.js';
import { recover } from './recover.js';
import { remove } from './remove.js';
import { rotate } from './secret.js';
import { sendTest } from './test-event.js';

const PAGE = 25;
const REFRESH_MS = 10000;

const FIRST_EVENT = (account) => `curl --unix-socket data/ingest.sock http://localhost/v1/events \\
  -H 'content-type: application/json' \\
  -d '{"accountId":"${account}","type":"device.registered","data":{"id":"d-1","name":"Lobby"}}'`;

export async function webhooksPage(page, context) {
  const { account, types, mayManage } = context;
  let items = await all(subscriptions(account), 10000);
  let filter = '';
  let at = 0;

  const body = h('tbody');
  const count = h('p', { class: 'quiet', role: 'status' });
  const pager = h('nav', { class: 'pager', 'aria-label': 'Pages' });
  const place = h('div');

  const refresh = async () => {
    items = await all(subscriptions(account), 10000);
    draw();
  };
  const edit = async (sub) => {
    if (await openPanel(context, sub)) await refresh();
  };
  const drop = async (sub) => {
    if (await remove(account, sub)) {
      await refresh();
      // What had the focus is gone with its row.
      document.getElementById('create')?.focus();
    }
  };

  const row = (sub) => h('tr', {},
    h('th', { scope: 'row' },
      h('button', { class: 'link', type: 'button', id: `name-${sub.id}`, onclick: () => edit(sub) }, sub.name)),
    h('td', { class: 'url', title: sub.callbackUrl }, sub.callbackUrl),
    h('td', {}, events(sub.events, types)),
    h('td', {}, status(sub)),
    h('td', {}, health(sub)),
    h('td', {}, lastDelivery(sub)),
    h('td', { class: 'end' }, menu('More', '…', [
      ['Open', () => context.go('accounts', account, 'webhooks', sub.id)],
      mayManage && ['Edit', () => edit(sub)],
      mayManage && ['Send test event', () => sendTest(context, sub)],
      mayManage && ['Recover', () => recover(context, sub)],
      mayManage && ['Rotate secret', () => rotate(context, sub)],
      mayManage && null,
      mayManage && ['Delete', () => drop(sub), 'danger'],
    ], { id: `more-${sub.id}` })));

  function draw() {
    const wanted = items.filter((sub) => `${sub.name} ${sub.callbackUrl} ${sub.id}`.toLowerCase().includes(filter));
    const pages = Math.ceil(wanted.length / PAGE);
    at = Math.min(at, Math.max(0, pages - 1));
    keyed(body, wanted.slice(at * PAGE, (at + 1) * PAGE), (sub) => sub.id, row);
    const text = filter === ''
      ? `${items.length} ${items.length === 1 ? 'subscription' : 'subscriptions'}`
      : `${wanted.length} of ${items.length} match`;
    if (count.textContent !== text) count.textContent = text;
    nothing.hidden = wanted.length > 0;
    scroll.hidden = wanted.length === 0;
    replace(pager, pages > 1 && [
      h('button', { type: 'button', disabled: at === 0, onclick: () => { at -= 1; draw(); } }, 'Previous'),
      h('span', {}, `Page ${at + 1} of ${pages}`),
      h('button', { type: 'button', disabled: at + 1 >= pages, onclick: () => { at += 1; draw(); } }, 'Next'),
    ]);
    const shown = items.length === 0 ? empty : table;
    if (place.firstChild !== shown) replace(place, shown);
  }

  const empty = h('div', { class: 'empty' },
    h('h2', {}, 'No webhook subscriptions yet'),
    h('p', {}, 'A subscription sends events of this account to a URL of yours as they happen: signed, in JSON, '
      + 'and again until your system has taken them.'),
    mayManage
      ? [
        h('p', {}, 'Create one, then send it a first event from the machine that Postrider runs on:'),
        h('pre', { tabindex: '0', 'aria-label': 'Command that sends an event' }, FIRST_EVENT(account)),
      ]
      : null);
  const scroll = h('div', { class: 'scroll' }, h('table', { class: 'rows' },
    h('thead', {}, h('tr', {},
      ['Name', 'Callback URL', 'Events', 'Status', 'Health', 'Last delivery'].map((text) => h('th', { scope: 'col' }, text)),
      h('th', { scope: 'col' }, h('span', { class: 'sr' }, 'Actions')))),
    body));
  const nothing = h('p', { class: 'empty', hidden: true }, 'Nothing matches what you search for.');
  const table = h('div', {},
    h('div', { class: 'row' },
      h('input', {
        type: 'search', 'aria-label': 'Search subscriptions', placeholder: 'Search by name or URL',
        oninput: (event) => { filter = event.target.value.toLowerCase(); at = 0; draw(); },
      }),
      count),
    scroll, nothing, pager);

  page.append(
    h('div', { class: 'page-head' },
      h('h1', {}, 'Webhooks'),
      mayManage && h('button', { class: 'primary', type: 'button', id: 'create', onclick: () => edit(null) }, 'Create Subscription')),
    !mayManage && h('p', { class: 'note' }, context.me.role === 'viewer'
      ? 'You may look at everything here. Only an Account Owner with a Platform User licence changes it.'
      : 'You may look at everything here. To change it you need a Platform User licence.') || '',
    place);
  draw();
  const timer = setInterval(() => document.visibilityState === 'visible' && refresh().catch(() => {}), REFRESH_MS);
  return () => clearInterval(timer);
}

/** The newest of both, and how it went. */
function lastDelivery(sub) {
  const { lastSuccessAt: good, lastFailureAt: bad } = sub.health;
  if (!good && !bad) return h('span', { class: 'quiet' }, 'none yet');
  if (bad && (!good || bad > good)) return [time(bad), h('span', { class: 'bad-text' }, ' failed')];
  return time(good);
}
