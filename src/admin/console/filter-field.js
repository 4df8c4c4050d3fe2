// The payload filter of a subscription: a condition as JSON, and a way to see what it says of an event before
// it is saved.
import { post, subscriptions } from './api.js';
import { h, replace } from './dom.js';
import { field } from './fields.js';

const EXAMPLE = '{"path": "data.floor", "gte": 3}';
const HINT = 'A condition over the event’s JSON; left empty, every event of the chosen types is sent. One condition is a path with '
  + 'operators (eq, in, gt, gte, lt, lte, exists, prefix) that must all hold; and, or and not put several together.';

/** What the text says; throws with a sentence where it is no JSON. */
function parse(text, what) {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not valid JSON: ${error.message}`);
  }
}

/** `typesChosen`: the types that the panel has at this moment. */
export function filterField(account, typesChosen, given) {
  const text = field('Payload filter',
    h('textarea', { rows: 4, class: 'mono', spellcheck: 'false', placeholder: EXAMPLE,
      value: given ? JSON.stringify(given, null, 2) : '', oninput: () => forget() }), HINT);
  const type = h('select', { onchange: () => sample() });
  const ofType = field('Try it on', type, 'The sample of a type; change it as you like.');
  const event = field('Data of the event',
    h('textarea', { rows: 6, class: 'mono', spellcheck: 'false', oninput: () => forget() }));
  const verdict = h('p', { class: 'verdict', role: 'status' });
  const ask = h('button', { type: 'button', onclick: () => tryIt() }, 'Try it');
  const forget = () => replace(verdict);

  function sample() {
    forget();
    const found = typesChosen().find((one) => one.id === type.value);
    event.input.value = found ? JSON.stringify(found.sample, null, 2) : '';
  }

  function offer() {
    const present = typesChosen();
    const before = type.value;
    replace(type, present.map((one) => h('option', { value: one.id, selected: one.id === before }, one.name)));
    ask.disabled = present.length === 0;
    if (type.value !== before || event.input.value === '') sample();
  }

  async function tryIt() {
    [text, event].forEach((one) => one.fail(null));
    forget();
    let filter;
    let data;
    try {
      filter = parse(text.input.value, 'The filter');
    } catch (error) {
      text.fail(error.message);
      return text.input.focus();
    }
    try {
      data = parse(event.input.value, 'The data') ?? {};
    } catch (error) {
      event.fail(error.message);
      return event.input.focus();
    }
    ask.disabled = true;
    try {
      const { matches } = await post(`${subscriptions(account)}:test-filter`, { filter, type: type.value, data });
      replace(verdict, h('span', { class: matches ? 'good' : 'bad' },
        matches ? 'Matches: this event would be sent.' : 'Does not match: this event would not be sent.'));
    } catch (error) {
      const problems = [...(error.fields ?? [])];
      const ofFilter = problems.filter(([path]) => path.startsWith('filter'));
      if (ofFilter.length > 0) text.fail(told(ofFilter));
      else if (problems.length > 0) event.fail(told(problems));
      else event.fail(error.message);
    } finally {
      ask.disabled = false;
    }
  }

  const tries = h('details', { class: 'try', ontoggle: () => offer() },
    h('summary', {}, 'Try the filter'), ofType.root, event.root,
    h('div', { class: 'row' }, ask, verdict));
  return {
    root: h('div', {}, text.root, tries),
    input: text.input,
    fail: text.fail,
    /** Other types are chosen now. */
    typesChanged: () => { if (tries.open) offer(); },
    /** The condition, or null; throws where the text is no JSON. */
    value: () => parse(text.input.value, 'The filter'),
  };
}

/** Errors of a filter, each with its place in it. */
export const told = (problems) => problems
  .map(([path, message]) => `${path.replace(/^filter\.?/, '') || 'The filter'} ${message}`).join('; ');
