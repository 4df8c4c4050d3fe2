// The choice of event types: in their groups, a group at once, found by a search.
import { h, unique } from './dom.js';

export function eventsField(types, chosen) {
  const id = unique('events');
  const error = h('p', { class: 'error', id });
  const groups = Map.groupBy
    ? Map.groupBy(types, (type) => type.group)
    : types.reduce((map, type) => map.set(type.group, [...(map.get(type.group) ?? []), type]), new Map());
  const picked = new Set();
  for (const type of types) if (chosen.some((selector) => matches(selector, type.id))) picked.add(type.id);
  const boxes = new Map();
  const count = h('span', { class: 'quiet', role: 'status' });
  const redraw = [];

  const sections = [...groups].map(([group, members]) => {
    const heading = unique('group');
    const every = h('input', {
      type: 'checkbox',
      onchange: (event) => {
        for (const type of members) toggle(type, event.target.checked);
        update();
      },
    });
    redraw.push(() => {
      const on = members.filter((type) => picked.has(type.id)).length;
      every.checked = on === members.length;
      every.indeterminate = on > 0 && on < members.length;
    });
    const rows = members.map((type) => {
      const box = h('input', {
        type: 'checkbox',
        checked: picked.has(type.id),
        onchange: (event) => { toggle(type, event.target.checked); update(); },
      });
      const row = h('label', { class: 'check', title: type.id }, box, type.name);
      boxes.set(type.id, { box, row, words: `${type.name} ${type.id} ${group}`.toLowerCase() });
      return row;
    });
    return h('div', { class: 'group', role: 'group', 'aria-labelledby': heading },
      h('div', { class: 'group-head' },
        h('h3', { id: heading }, group),
        h('label', { class: 'check' }, every, h('span', {}, 'All', h('span', { class: 'sr' }, ` of ${group}`)))),
      h('div', { class: 'checks' }, rows));
  });

  function toggle(type, on) {
    if (on) picked.add(type.id);
    else picked.delete(type.id);
    boxes.get(type.id).box.checked = on;
  }
  function update() {
    redraw.forEach((draw) => draw());
    count.textContent = `${picked.size} of ${types.length} chosen`;
  }
  update();

  const search = h('input', {
    type: 'search', 'aria-label': 'Search events', placeholder: 'Search events',
    oninput: (event) => {
      const text = event.target.value.toLowerCase();
      for (const { row, words } of boxes.values()) row.hidden = !words.includes(text);
      for (const section of sections) {
        section.hidden = [...section.querySelectorAll('.checks label')].every((row) => row.hidden);
      }
      none.hidden = sections.some((section) => !section.hidden);
    },
  });
  const none = h('p', { class: 'hint', hidden: true }, 'No event is called that.');
  const root = h('fieldset', { class: 'field events', 'aria-describedby': id },
    h('legend', {}, 'Events'), h('div', { class: 'row' }, search, count), sections, none, error);
  return {
    root,
    has: (id) => picked.has(id),
    /** What was chosen; what is chosen by `*` or `user.*` and was not changed stays so. */
    value() {
      const before = types.filter((type) => chosen.some((selector) => matches(selector, type.id)));
      const same = before.length === picked.size && before.every((type) => picked.has(type.id));
      return same && chosen.length > 0 ? chosen : [...picked];
    },
    fail(message) {
      error.textContent = message ?? '';
      if (message) root.setAttribute('aria-invalid', 'true');
      else root.removeAttribute('aria-invalid');
    },
  };
}

function matches(selector, id) {
  if (selector === '*' || selector === id) return true;
  return selector.endsWith('.*') && id.startsWith(selector.slice(0, -1));
}
