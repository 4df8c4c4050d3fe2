// The operator's overview: how the whole engine does, second by second.
import { get } from './api.js';
import { bars, figure, lines } from './chart.js';
import { h, replace } from './dom.js';
import { badge, duration, time } from './format.js';

const EVERY_MS = 1000;
const SECONDS = 180;
const breakers = { open: ['bad', 'Left alone'], half_open: ['warn', 'Being tried'], closed: ['warn', 'Failing'] };
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const when = (at) => clock.format(new Date(at));
const number = (value) => value.toLocaleString(undefined, { maximumFractionDigits: 1 });

function tile(label, value, hint, kind = '') {
  return h('div', { class: `tile ${kind}` }, h('dt', {}, label), h('dd', {}, h('strong', {}, value), h('span', { class: 'quiet' }, hint)));
}

function tiles(now) {
  const oldest = now.oldestUndeliveredAt ? Math.max(0, new Date(now.at) - new Date(now.oldestUndeliveredAt)) : null;
  const backlog = now.queued + now.retriesWaiting;
  return h('dl', { class: 'tiles', 'aria-label': 'Now' },
    tile('Accepted', `${number(now.acceptedPerSecond)}/s`, 'events, mean of 10 s'),
    tile('Delivered', `${number(now.deliveredPerSecond)}/s`, 'mean of 10 s'),
    tile('Failed attempts', `${number(now.failedPerSecond)}/s`, 'mean of 10 s', now.failedPerSecond > 0 ? 'warn' : ''),
    tile('Delay', now.delayMs ? duration(now.delayMs.p50) : '–', now.delayMs ? `half within; 99 % within ${duration(now.delayMs.p99)}` : 'nothing in the last minute'),
    tile('Backlog', number(backlog), `${number(now.queued)} queued, ${number(now.retriesWaiting)} retries, ${number(now.inFlight)} in flight`),
    tile('Oldest undelivered', oldest === null ? '–' : duration(oldest), oldest === null ? 'nothing waits' : 'since it was accepted', oldest > 3600000 ? 'warn' : ''),
    tile('Catching up', number(now.laggingSubscriptions), 'subscriptions that read from disk'),
    tile('Dead letters', number(now.deadLetters), 'given up, can be recovered', now.deadLetters > 0 ? 'warn' : ''));
}

const many = (count, one) => `${number(count)} ${one}${count === 1 ? '' : 's'}`;

/** Before the start there was nothing: the scale of time stays the same. */
function padded(history) {
  const first = history.length > 0 ? Date.parse(history[0].at) : Date.now();
  const missing = Array.from({ length: Math.max(0, SECONDS - history.length) }, (_, at) => at + 1).reverse();
  const nothing = { accepted: 0, delivered: 0, failed: 0, waiting: 0, delayMs: null };
  return [...missing.map((ago) => ({ at: new Date(first - ago * 1000).toISOString(), ...nothing })), ...history];
}

function charts(told) {
  const history = padded(told);
  const times = history.map((one) => one.at);
  const values = (name) => history.map((one) => one[name]);
  const counts = [
    { name: 'delivered', kind: 'good', values: values('delivered') }, { name: 'failed', kind: 'bad', values: values('failed') },
  ];
  const delays = [
    { name: 'half within', kind: 'accent', values: history.map((one) => one.delayMs?.p50 ?? null) },
    { name: '99 % within', kind: 'warn', values: history.map((one) => one.delayMs?.p99 ?? null) },
  ];
  const waiting = [{ name: 'queued and retries', kind: 'accent', values: values('waiting') }];
  const accepted = [{ name: 'events a second', kind: 'accent', values: values('accepted') }];
  const ends = times.length > 0 ? [when(times[0]), when(times.at(-1))] : ['', ''];
  return [
    figure('Attempts a second', bars('Attempts a second over three minutes', times, counts, when), counts, ...ends),
    figure('Accepted', lines('Events accepted a second over three minutes', times, accepted, number), accepted, ...ends),
    figure('Delay', lines('Delay from acceptance to delivery over three minutes', times, delays), delays, ...ends),
    figure('Backlog', lines('Deliveries that wait, over three minutes', times, waiting, number), waiting, ...ends),
  ].map((one) => h('div', { class: 'card' }, one));
}

function failing(hosts) {
  if (hosts.length === 0) return h('p', { class: 'quiet' }, 'No host fails, and none is behind.');
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Hosts in trouble' }, h('table', { class: 'rows' },
    h('thead', {}, h('tr', {}, ['Host', 'State', 'Subscriptions', 'Waiting', 'Oldest', 'Last failure']
      .map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, hosts.map((host) => h('tr', {},
      h('th', { scope: 'row', class: 'mono' }, host.host),
      h('td', {}, badge(...breakers[host.breaker])),
      h('td', { 'data-label': 'Subscriptions' }, number(host.subscriptions)),
      h('td', { 'data-label': 'Waiting' }, number(host.pending)),
      h('td', { 'data-label': 'Oldest' }, time(host.oldestPendingAt)),
      h('td', { 'data-label': 'Last failure' }, time(host.lastFailureAt)))))));
}

export async function overviewPage(page) {
  const now = h('div');
  const drawn = h('div', { class: 'columns charts' });
  const hosts = h('div');
  const size = h('p', { class: 'quiet' });
  const stale = h('p', { class: 'note', role: 'status', hidden: true });
  let last = '';
  let told = '';
  const draw = (overview) => {
    stale.hidden = true;
    if (overview.at === last) return;
    last = overview.at;
    size.textContent = `${many(overview.subscriptions, 'subscription')} of ${many(overview.accounts, 'account')}`;
    replace(now, tiles(overview));
    replace(drawn, charts(overview.history));
    // The reader's place in the table is kept while nothing changes.
    const state = JSON.stringify(overview.hosts);
    if (state !== told) replace(hosts, failing(overview.hosts));
    told = state;
  };
  draw(await get('/overview'));
  page.append(
    h('div', { class: 'page-head' }, h('h1', {}, 'Overview'), size), stale, now, drawn,
    h('h2', {}, 'Hosts in trouble'), hosts);
  let over = false;
  let timer = 0;
  const look = async () => {
    try {
      if (document.visibilityState === 'visible') draw(await get('/overview'));
    } catch (error) {
      stale.textContent = `These figures are old: ${error.message}`;
      stale.hidden = false;
    }
    if (!over) timer = setTimeout(look, EVERY_MS);
  };
  timer = setTimeout(look, EVERY_MS);
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
