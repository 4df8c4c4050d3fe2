// How a subscription has done over time: what was delivered, what failed, and how long it took.
import { get, subscription } from './api.js';
import { bars, figure, lines } from './chart.js';
import { h, loading, replace, toast } from './dom.js';
import { duration } from './format.js';

const RANGES = [['1 hour', 3600], ['24 hours', 86400], ['7 days', 604800], ['30 days', 2592000]];
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });

export function statsOf({ account }, sub) {
  let range = 86400;
  const place = h('div', {}, loading('charts'));
  const sentence = h('p', { class: 'quiet', role: 'status' });

  function draw(chart) {
    const { items } = chart;
    const face = (range <= 86400 ? clock : day);
    const when = (at) => face.format(new Date(at));
    const times = items.map((item) => item.at);
    const [delivered, failed] = ['delivered', 'failed'].map((name) => items.reduce((sum, item) => sum + item[name], 0));
    sentence.textContent = delivered + failed === 0
      ? 'Nothing was sent in this time.'
      : `${delivered.toLocaleString()} delivered, ${failed.toLocaleString()} ${failed === 1 ? 'attempt' : 'attempts'} failed.`;
    if (delivered + failed === 0) return replace(place);
    const counts = [
      { name: 'delivered', kind: 'good', values: items.map((item) => item.delivered) },
      { name: 'failed', kind: 'bad', values: items.map((item) => item.failed) },
    ];
    const delays = [
      { name: 'half within', kind: 'accent', values: items.map((item) => item.delayMs?.p50 ?? null) },
      { name: '99 % within', kind: 'warn', values: items.map((item) => item.delayMs?.p99 ?? null) },
    ];
    const ends = [when(chart.since), when(chart.until)];
    // What somebody opened stays open when newer figures come.
    const open = place.querySelector('details')?.open;
    const used = items.filter((item) => item.delivered + item.failed > 0);
    return replace(place,
      h('div', { class: 'columns' },
        figure('Attempts', bars(`Attempts over time: ${sentence.textContent}`, times, counts, when), counts, ...ends),
        figure('Delay from acceptance to delivery', lines('Delay over time; the figures stand in the table', times, delays), delays, ...ends)),
      h('details', { class: 'figures', open },
        h('summary', {}, 'The figures as a table'),
        h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Figures over time' }, h('table', {},
          h('thead', {}, h('tr', {}, ['From', 'Delivered', 'Failed', 'Half within', '99 % within', 'Longest']
            .map((text) => h('th', { scope: 'col' }, text)))),
          h('tbody', {}, used.slice(-100).reverse().map((item) => h('tr', {},
            h('th', { scope: 'row' }, when(item.at)),
            [item.delivered, item.failed].map((value) => h('td', {}, value.toLocaleString())),
            ['p50', 'p99', 'max'].map((name) => h('td', {}, item.delayMs ? duration(item.delayMs[name]) : '–')))))))));
  }

  async function load() {
    const since = new Date(Date.now() - range * 1000).toISOString();
    draw(await get(`${subscription(account, sub.id)}/stats?since=${encodeURIComponent(since)}`));
  }

  const choice = h('div', { class: 'chips', role: 'group', 'aria-label': 'Time shown' },
    RANGES.map(([text, seconds]) => h('button', {
      type: 'button', class: 'chip', 'aria-pressed': String(seconds === range),
      onclick: (event) => {
        range = seconds;
        for (const one of choice.children) one.setAttribute('aria-pressed', String(one === event.target));
        load().catch((error) => toast(error.message, 'bad'));
      },
    }, text)));
  const root = h('section', { class: 'card stats', 'aria-label': 'Over time' },
    h('div', { class: 'page-head' }, h('h2', {}, 'Over time'), choice), sentence, place);
  return { root, load };
}
