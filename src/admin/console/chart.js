// A chart of counts over time, as SVG, with the same figures as a table for those who do not see it.
import { h } from './dom.js';
import { duration } from './format.js';

const NS = 'http://www.w3.org/2000/svg';
const WIDTH = 720;
const HEIGHT = 120;

function svg(name, props, ...children) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(props)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** 0, 1, 2, 5, 10, 20, … not below `value`. */
function ceiling(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

const number = new Intl.NumberFormat();

/** Bars that stand on each other. `series`: `{ name, kind, values }`; `times` of the same length. */
export function bars(label, times, series, when) {
  const totals = times.map((_, at) => series.reduce((sum, one) => sum + one.values[at], 0));
  const top = ceiling(Math.max(0, ...totals));
  const wide = WIDTH / times.length;
  const picture = frame(label, number.format(top));
  times.forEach((at, index) => {
    let base = HEIGHT;
    for (const one of series) {
      const value = one.values[index];
      if (value === 0) continue;
      // What is there is seen, however little it is.
      const high = Math.max(2, (value / top) * HEIGHT);
      base -= high;
      picture.append(svg('rect', {
        class: one.kind, x: index * wide, y: Math.max(0, base), width: Math.max(1, wide - 1), height: high,
      }, svg('title', {}, `${when(at)}: ${number.format(value)} ${one.name}`)));
    }
  });
  return picture;
}

/** Lines; `null` is a gap. */
export function lines(label, times, series, face = duration) {
  const top = ceiling(Math.max(0, ...series.flatMap((one) => one.values.filter((value) => value !== null))));
  const wide = WIDTH / Math.max(1, times.length);
  const picture = frame(label, face(top));
  for (const one of series) {
    let pen = 'M';
    let path = '';
    one.values.forEach((value, index) => {
      if (value === null) {
        pen = 'M';
        return;
      }
      const [x, y] = [(index + 0.5) * wide, HEIGHT - (value / top) * (HEIGHT - 2) - 1];
      // A point without neighbours is as wide as its step, so that it is seen as well.
      const alone = pen === 'M' && (one.values[index + 1] ?? null) === null;
      path += alone
        ? `M${(index * wide).toFixed(1)} ${y.toFixed(1)}h${Math.max(wide, 4).toFixed(1)}`
        : `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = 'L';
    });
    picture.append(svg('path', { class: `line ${one.kind}`, d: path || 'M0 0' }));
  }
  return picture;
}

function frame(label, top) {
  const picture = svg('svg', {
    class: 'chart', role: 'img', 'aria-label': label, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none',
  });
  picture.append(
    svg('line', { class: 'rule', x1: 0, x2: WIDTH, y1: 0.5, y2: 0.5 }),
    svg('line', { class: 'rule', x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }));
  picture.dataset.top = top;
  return picture;
}

/** A chart with its scale, what its colours mean, and the times at its ends. */
export function figure(title, picture, series, from, until) {
  return h('figure', { class: 'figure' },
    h('figcaption', {}, h('strong', {}, title),
      series.map((one) => h('span', { class: `key ${one.kind}` }, one.name))),
    h('div', { class: 'plot' }, picture, h('span', { class: 'scale', 'aria-hidden': 'true' }, picture.dataset.top)),
    h('div', { class: 'ends', 'aria-hidden': 'true' }, h('span', {}, from), h('span', {}, until)));
}
