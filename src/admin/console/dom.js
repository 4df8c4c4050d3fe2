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
      opener?.focus?.();
      resolve(result);
    });
    append(box, [
      h('div', { class: 'dialog-head' },
        h('h2', { id: heading }, title),
        h('button', { class: 'icon', type: 'button', 'aria-label': 'Close', onclick: () => close() }, '×')),
      build(close),
    ]);
    document.body.append(box);
    box.showModal();
    box.querySelector('[autofocus], input, select, textarea')?.focus();
  });
}

/** A question with a yes that says what it does. */
export function confirm(title, text, yes, danger = true) {
  return dialog(title, (close) => [
    h('p', {}, text),
    h('div', { class: 'actions' },
      h('button', { type: 'button', onclick: () => close(false) }, 'Cancel'),
      h('button', { type: 'button', class: danger ? 'danger' : 'primary', onclick: () => close(true) }, yes)),
  ]);
}

/** A button that opens a menu: arrows move, Escape and a click elsewhere close it. */
export function menu(label, face, items) {
  const list = h('div', { role: 'menu', class: 'menu', 'aria-label': label, hidden: true });
  const button = h('button', {
    type: 'button', class: 'icon', 'aria-label': label, 'aria-haspopup': 'menu', 'aria-expanded': 'false',
  }, face);
  const away = (event) => { if (!root.contains(event.target)) shut(); };
  const shut = () => {
    list.hidden = true;
    button.setAttribute('aria-expanded', 'false');
    document.removeEventListener('pointerdown', away);
  };
  const open = () => {
    list.hidden = false;
    button.setAttribute('aria-expanded', 'true');
    document.addEventListener('pointerdown', away);
    list.firstElementChild?.focus();
  };
  for (const [text, action, kind] of items.filter(Boolean)) {
    list.append(h('button', {
      type: 'button', role: 'menuitem', tabindex: '-1', class: kind ?? '',
      onclick: () => { shut(); button.focus(); action(); },
    }, text));
  }
  button.addEventListener('click', () => (list.hidden ? open() : shut()));
  const root = h('div', {
    class: 'menu-root',
    onkeydown: (event) => {
      const entries = [...list.children];
      const at = entries.indexOf(document.activeElement);
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === 'Escape' && !list.hidden) {
        event.stopPropagation();
        shut();
        button.focus();
      } else if (event.key === 'Tab') {
        shut();
      } else if (step) {
        event.preventDefault();
        if (list.hidden) open();
        else entries[(at + step + entries.length) % entries.length]?.focus();
      }
    },
  }, button, list);
  return root;
}
