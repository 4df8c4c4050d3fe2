// A subscription's own page: how it does, its secret, its charts, its deliveries as they happen.
import { get, subscription } from './api.js';
import { deliveriesOf } from './deliveries.js';
import { h, replace } from './dom.js';
import { events, health, status, time } from './format.js';
import { menu } from './menu.js';
import { openPanel } from './panel.js';
import { recover } from './recover.js';
import { remove } from './remove.js';
import { rotate, secretCard } from './secret.js';
import { statsOf } from './stats.js';
import { sendTest } from './test-event.js';
import { inWords } from './words.js';

const REFRESH_MS = 5000;
const CHARTS_MS = 60000;
/** Attempts that the sentence about the receiver speaks of. */
const RECENT_MAX = 20;

export async function detailPage(page, context, id) {
  const { account, types, mayManage, href, go } = context;
  let sub = await get(subscription(account, id));
  let recent = [];
  const head = h('div');
  const words = h('div', { class: 'words' });
  const facts = h('section', { class: 'card', 'aria-label': 'About' });
  const secret = mayManage && secretCard(context, sub);
  const edit = async () => {
    const saved = await openPanel(context, sub);
    if (saved) { sub = saved; draw(); }
  };
  const drop = async () => {
    if (await remove(account, sub)) go('accounts', account, 'webhooks');
  };
  const actions = () => [
    h('button', { type: 'button', id: 'test', onclick: () => sendTest(context, sub) }, 'Send test event'),
    h('button', { type: 'button', id: 'recover', onclick: () => recover(context, sub) }, 'Recover'),
    h('button', { type: 'button', id: 'edit', onclick: edit }, 'Edit'),
    menu('More', '…', [
      ['Rotate secret', async () => { const next = await rotate(context, sub); if (next) secret.shown(next); }],
      null,
      ['Delete', drop, 'danger'],
    ], { id: 'more' }),
  ];

  replace(head,
    h('p', {}, h('a', { href: href('accounts', account, 'webhooks') }, '← Webhooks')),
    h('div', { class: 'page-head' }, h('h1', {}, sub.name), mayManage && actions()));

  let drawn = '';
  function draw() {
    replace(words, inWords(sub, recent));
    const state = JSON.stringify(sub);
    if (state === drawn) return;
    drawn = state;
    head.querySelector('h1').textContent = sub.name;
    const fact = (term, ...value) => [h('dt', {}, term), h('dd', {}, value)];
    replace(facts, h('h2', { class: 'sr' }, 'About'), h('dl', {},
      fact('Callback URL', h('code', { class: 'selectable' }, sub.callbackUrl)),
      fact('Events', events(sub.events, types)),
      sub.filter && fact('Payload filter', h('pre', { class: 'mono selectable condition', tabindex: 0 }, JSON.stringify(sub.filter, null, 2))),
      fact('Status', status(sub)),
      fact('Health', health(sub)),
      fact('Last success', time(sub.health.lastSuccessAt, 'none yet')),
      fact('Last failure', time(sub.health.lastFailureAt, 'none')),
      sub.description && fact('Description', sub.description)), words);
  }

  let soon = 0;
  /** Something has happened that the charts do not show yet. */
  let fresh = false;
  const again = async () => {
    soon = 0;
    sub = await get(subscription(account, id)).catch(() => sub);
    draw();
  };
  const list = deliveriesOf(context, sub, (attempt) => {
    fresh = true;
    recent = [attempt, ...recent].slice(0, RECENT_MAX);
    // Health is renewed once a second: no need to ask more often.
    if (soon === 0) soon = setTimeout(again, 1000);
  });
  const charts = statsOf(context, sub);
  draw();
  page.append(head, h('div', { class: 'columns' }, facts, secret && secret.root), charts.root, list.root);
  await Promise.all([list.load(), charts.load()]);
  const every = (ms, work) => setInterval(() => {
    // What fails says it again at the next turn.
    if (document.visibilityState === 'visible') work().catch(() => {});
  }, ms);
  const timers = [
    every(REFRESH_MS, async () => {
      await Promise.all([again(), list.refresh(), fresh && charts.load()]);
      fresh = false;
    }),
    every(CHARTS_MS, () => charts.load()),
  ];
  return () => {
    timers.forEach(clearInterval);
    clearTimeout(soon);
    list.stop();
  };
}
