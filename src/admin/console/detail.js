// A subscription's own page: how it does, its secret, its deliveries and what was said at each attempt.
import { account as accountPath, get, subscription } from './api.js';
import { attempts } from './attempts.js';
import { h, loading, replace, toast } from './dom.js';
import { badge, delivery, events, health, inWords, status, time } from './format.js';
import { live } from './live.js';
import { openPanel } from './panel.js';
import { remove } from './remove.js';
import { recover, sendTest } from './replay.js';
import { secretCard } from './secret.js';

export async function detailPage(page, context, id) {
  const { account, types, mayManage, href, go } = context;
  let sub = await get(subscription(account, id));
  const head = h('div');
  const facts = h('section', { class: 'card', 'aria-label': 'About' });
  const edit = async () => {
    const saved = await openPanel(context, sub);
    if (saved) { sub = saved; draw(); }
  };
  const drop = async () => {
    if (await remove(account, sub)) go('accounts', account, 'webhooks');
  };

  function draw() {
    replace(head,
      h('p', {}, h('a', { href: href('accounts', account, 'webhooks') }, '← Webhooks')),
      h('div', { class: 'page-head' },
        h('h1', {}, sub.name),
        mayManage && h('button', { type: 'button', onclick: () => sendTest(context, sub) }, 'Send test event'),
        mayManage && h('button', { type: 'button', onclick: () => recover(context, sub).then(list.refresh) }, 'Recover'),
        mayManage && h('button', { type: 'button', onclick: edit }, 'Edit'),
        mayManage && h('button', { type: 'button', class: 'danger', onclick: drop }, 'Delete')));
    const fact = (term, ...value) => [h('dt', {}, term), h('dd', {}, value)];
    replace(facts, h('dl', {},
      fact('Callback URL', h('code', { class: 'selectable' }, sub.callbackUrl)),
      fact('Events', events(sub.events, types)),
      fact('Status', status(sub)),
      fact('Health', health(sub), inWords(sub)),
      fact('Last success', time(sub.health.lastSuccessAt, 'none yet')),
      fact('Last failure', time(sub.health.lastFailureAt, 'none')),
      sub.health.pending > 0 && fact('Waiting', `${sub.health.pending}, the oldest from `, time(sub.health.oldestPendingAt)),
      sub.description && fact('Description', sub.description)));
  }
  draw();
  const list = deliveries(context, sub);
  page.append(head, h('div', { class: 'columns' }, facts, mayManage && secretCard(context, sub)), list.root);
  await list.refresh();
  const look = async () => {
    if (document.visibilityState !== 'visible') return;
    try {
      sub = await get(subscription(account, id));
      draw();
      await list.refresh();
    } catch {
      // The next turn says it again.
    }
  };
  const timer = setInterval(look, 5000);
  const stop = live(account, id, look);
  return () => { clearInterval(timer); stop(); };
}

function deliveries(context, sub) {
  const { account, types } = context;
  let wanted = '';
  let next = null;
  let shown = [];
  const body = h('tbody');
  const place = h('div');
  const more = h('button', { type: 'button', onclick: () => load(next) }, 'Older');
  const table = h('div', {},
    h('div', { class: 'scroll' }, h('table', {},
      h('thead', {}, h('tr', {}, ['Event', 'Type', 'Status', 'Attempts', 'Accepted', 'Last attempt', 'Next attempt']
        .map((text) => h('th', { scope: 'col' }, text)))),
      body)),
    more);

  const row = (one) => h('tr', {},
    h('th', { scope: 'row' }, h('button', {
      class: 'link', type: 'button', id: `delivery-${one.eventId}`,
      onclick: async () => { if (await attempts(context, sub, one)) load(null).catch((error) => toast(error.message, 'bad')); },
    }, one.eventId)),
    h('td', { title: one.type }, types.find((type) => type.id === one.type)?.name ?? one.type),
    h('td', {}, badge(...delivery[one.status])),
    h('td', {}, String(one.attempts)),
    h('td', {}, time(one.acceptedAt)),
    h('td', {}, time(one.lastAttemptAt)),
    h('td', {}, time(one.nextAttemptAt)));

  function draw() {
    more.hidden = !next;
    replace(body, shown.map(row));
    replace(place, shown.length > 0 || next ? table : h('div', { class: 'empty' },
      h('p', {}, wanted ? 'No deliveries of this kind.' : 'No deliveries yet: they appear here as events come in.')));
  }

  async function load(cursor) {
    const query = new URLSearchParams({ subscriptionId: sub.id, limit: '50' });
    if (wanted) query.set('status', wanted);
    if (cursor) query.set('cursor', cursor);
    const page = await get(`${accountPath(account)}/deliveries?${query}`);
    shown = cursor ? [...shown, ...page.items] : page.items;
    next = page.next;
    draw();
  }

  const choice = h('select', {
    'aria-label': 'Filter deliveries by status',
    onchange: (event) => { wanted = event.target.value; load(null).catch((error) => toast(error.message, 'bad')); },
  }, [['', 'All'], ...Object.entries(delivery).map(([key, [, text]]) => [key, text])]
    .map(([key, text]) => h('option', { value: key }, text)));
  const root = h('section', { 'aria-label': 'Deliveries' },
    h('div', { class: 'page-head' }, h('h2', {}, 'Deliveries'), choice), place);
  replace(place, loading('deliveries'));
  return {
    root,
    // Only while the newest are looked at: a reader who has gone back in time is left in peace.
    refresh: () => (shown.length > 50 ? Promise.resolve() : load(null)),
  };
}
