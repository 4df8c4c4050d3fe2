// The table of subscriptions.
import { all, subscriptions } from './api.js';
import { h, menu, replace } from './dom.js';
import { events, health, status, time } from './format.js';
import { openPanel } from './panel.js';
import { remove } from './remove.js';
import { rotate } from './secret.js';

const PAGE = 25;

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

  const create = async () => {
    if (await openPanel(context, null)) await refresh();
  };
  const edit = async (sub) => {
    if (await openPanel(context, sub)) await refresh();
  };

  const row = (sub) => h('tr', {},
    h('th', { scope: 'row' },
      h('button', { class: 'link', type: 'button', onclick: () => edit(sub) }, sub.name)),
    h('td', { class: 'url', title: sub.callbackUrl }, sub.callbackUrl),
    h('td', {}, events(sub.events, types)),
    h('td', {}, status(sub)),
    h('td', {}, health(sub)),
    h('td', {}, time(sub.health.lastSuccessAt, 'none yet')),
    h('td', { class: 'end' }, menu('More', '…', [
      ['Open', () => context.go('accounts', account, 'webhooks', sub.id)],
      mayManage && ['Edit', () => edit(sub)],
      mayManage && ['Rotate secret', () => rotate(context, sub)],
      mayManage && ['Delete', async () => { await remove(account, sub); await refresh(); }, 'danger'],
    ])));

  function draw() {
    const wanted = items.filter((sub) => `${sub.name} ${sub.callbackUrl} ${sub.id}`.toLowerCase().includes(filter));
    at = Math.min(at, Math.max(0, Math.ceil(wanted.length / PAGE) - 1));
    replace(body, wanted.slice(at * PAGE, (at + 1) * PAGE).map(row));
    count.textContent = filter === ''
      ? `${items.length} ${items.length === 1 ? 'subscription' : 'subscriptions'}`
      : `${wanted.length} of ${items.length} match`;
    const pages = Math.ceil(wanted.length / PAGE);
    replace(pager, pages > 1 && [
      h('button', { type: 'button', disabled: at === 0, onclick: () => { at -= 1; draw(); } }, 'Previous'),
      h('span', {}, `Page ${at + 1} of ${pages}`),
      h('button', { type: 'button', disabled: at + 1 >= pages, onclick: () => { at += 1; draw(); } }, 'Next'),
    ]);
    replace(place, items.length === 0 ? empty() : table);
  }

  const empty = () => h('div', { class: 'empty' },
    h('h2', {}, 'No webhook subscriptions yet'),
    h('p', {}, 'A subscription sends events of this account to a URL of yours as they happen: signed, in JSON, '
      + 'and again until your system has taken them.'),
    mayManage
      ? h('p', {}, 'Create one, and send it a first event.')
      : h('p', {}, 'An Account Owner with a Platform User licence can create one.'));

  const table = h('div', {},
    h('input', {
      type: 'search', 'aria-label': 'Search subscriptions', placeholder: 'Search by name or URL',
      oninput: (event) => { filter = event.target.value.toLowerCase(); at = 0; draw(); },
    }),
    count,
    h('div', { class: 'scroll' }, h('table', {},
      h('thead', {}, h('tr', {},
        ['Name', 'Callback URL', 'Events', 'Status', 'Health', 'Last delivery'].map((text) => h('th', { scope: 'col' }, text)),
        h('th', { scope: 'col' }, h('span', { class: 'sr' }, 'Actions')))),
      body)),
    pager);

  page.append(
    h('div', { class: 'page-head' },
      h('h1', {}, 'Webhooks'),
      mayManage && h('button', { class: 'primary', type: 'button', onclick: create }, 'Create Subscription')),
    place);
  draw();
  const timer = setInterval(() => document.visibilityState === 'visible' && refresh().catch(() => {}), 15000);
  return () => clearInterval(timer);
}
