// Making elements. Text always goes in as text: there is no way from a string to markup here.

/** `h('button', { class: 'x', onclick: f }, 'Save')`; null and false children are left out. */
export function h(name, props = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key === 'value' || key === 'checked' || key === 'indeterminate') element[key] = value;
    else element.setAttribute(key, value === true ? '' : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child);
  }
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/**
 * Makes the children of `parent` those of `items`, and leaves alone what has not changed: a menu that is
 * open stays open, and the focus stays where it is, or goes to what has the same id now.
 */
export function keyed(parent, items, keyOf, build) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const focus = parent.contains(document.activeElement) ? document.activeElement.id : '';
  const next = items.map((item) => {
    const key = String(keyOf(item));
    const state = JSON.stringify(item);
    const have = old.get(key);
    if (have && have.state === state) return have;
    const made = build(item);
    made.dataset.key = key;
    made.state = state;
    return made;
  });
  const same = next.length === parent.children.length && next.every((child, at) => child === parent.children[at]);
  if (same) return;
  parent.replaceChildren(...next);
  if (focus && document.activeElement?.id !== focus) document.getElementById(focus)?.focus();
}

let ids = 0;
/** An id that nothing else has, to tie a label or an error to its field. */
export const unique = (stem) => `${stem}-${++ids}`;

export function toast(text, kind = 'ok') {
  const note = h('p', { class: `toast ${kind}` }, text);
  document.getElementById('toasts').append(note);
  setTimeout(() => note.remove(), kind === 'bad' ? 10000 : 5000);
}

/** What a page shows until its data is there. */
export const loading = (what) => h('p', { class: 'loading', 'aria-busy': 'true' }, `Loading ${what}…`);

export function failed(error, again) {
  return h('div', { class: 'failed', role: 'alert' },
    h('p', {}, error.message),
    again && h('button', { onclick: again }, 'Try again'));
}

/** A native dialog; resolves with what `close` was called with, or null where it was dismissed. */
export function dialog(title, build, { wide = false } = {}) {
  return new Promise((resolve) => {
    const heading = unique('title');
    const opener = document.activeElement;
    const box = h('dialog', { 'aria-labelledby': heading, class: wide ? 'panel' : 'ask' });
    let result = null;
    const close = (value = null) => { result = value; box.close(); };
    box.addEventListener('close', () => {
      box.remove();
      resolve(result);
      // What opened it may have been drawn anew meanwhile.
      (opener?.isConnected ? opener : document.getElementById(opener?.id))?.focus();
    });
    append(box, [
      h('div', { class: 'dialog-head' },
        h('h2', { id: heading }, title),
        h('button', { class: 'icon', type: 'button', 'aria-label': 'Close', onclick: () => close() }, '×')),
      build(close),
    ]);
    document.body.append(box);
    box.showModal();
    (box.querySelector('[autofocus]') ?? box.querySelector('input:not(:disabled), select, textarea'))?.focus();
  });
}

/** A question with a yes that says what it does. */
export function confirm(title, text, yes, danger = true) {
  return dialog(title, (close) => [
    h('p', {}, text),
    h('div', { class: 'actions' },
      h('button', { type: 'button', autofocus: true, onclick: () => close(false) }, 'Cancel'),
      h('button', { type: 'button', class: danger ? 'danger' : 'primary', onclick: () => close(true) }, yes)),
  ]);
}
