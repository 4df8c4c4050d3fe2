// A button that opens a menu: arrows, Home and End move, Escape and a click elsewhere close it.
//
// The list is a popover, in the browser's top layer: no table that scrolls cuts it off.
import { h, unique } from './dom.js';

const GAP = 4;

/** Below the button where there is room, and inside the window in any case. */
function put(list, button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = list;
  const below = at.bottom + GAP;
  list.style.top = `${below + height < innerHeight ? below : Math.max(GAP, at.top - GAP - height)}px`;
  list.style.left = `${Math.max(GAP, Math.min(at.right - width, innerWidth - width - GAP))}px`;
}

/** `items`: `[text, action, kind]`, or false for one that is not there, or null for a line between. */
export function menu(label, face, items, { kind = 'icon', id: buttonId } = {}) {
  const id = unique('menu');
  const list = h('div', { role: 'menu', class: 'menu', id, 'aria-label': label, popover: 'auto' });
  const button = h('button', {
    type: 'button', class: kind, id: buttonId, 'aria-label': kind === 'icon' ? label : null, 'aria-haspopup': 'menu',
    'aria-expanded': 'false', title: kind === 'icon' ? label : null,
  }, face);
  const isOpen = () => list.matches(':popover-open');
  const shut = () => { if (isOpen()) list.hidePopover(); };
  const open = () => {
    list.showPopover();
    put(list, button);
    list.querySelector('[role=menuitem]')?.focus();
  };
  list.addEventListener('toggle', (event) => {
    const opened = event.newState === 'open';
    button.setAttribute('aria-expanded', String(opened));
    // What it hangs on moves away under it.
    if (opened) addEventListener('scroll', shut, { capture: true, passive: true });
    else removeEventListener('scroll', shut, { capture: true });
  });
  for (const item of items) {
    if (item === null) list.append(h('hr', {}));
    if (!item) continue;
    const [text, action, tone] = item;
    list.append(h('button', {
      type: 'button', role: 'menuitem', tabindex: '-1', class: tone ?? '',
      onclick: () => { shut(); button.focus(); action(); },
    }, text));
  }
  // A popover that is open closes on the press; without this the click would open it again.
  let wasOpen = false;
  button.addEventListener('pointerdown', () => { wasOpen = isOpen(); });
  button.addEventListener('click', () => {
    if (wasOpen || isOpen()) shut();
    else open();
    wasOpen = false;
  });
  const keys = (event) => {
    const entries = [...list.querySelectorAll('[role=menuitem]')];
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
    if (event.key === 'Escape' && isOpen()) {
      event.preventDefault();
      event.stopPropagation();
      shut();
      button.focus();
    } else if (event.key === 'Tab') {
      shut();
    } else if (to !== undefined && (isOpen() || event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      event.preventDefault();
      if (!isOpen()) open();
      else entries[(to + entries.length) % entries.length]?.focus();
    } else if (event.key.length === 1 && isOpen() && event.key !== ' ') {
      entries.find((entry) => entry.textContent.toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    }
  };
  return h('div', { class: 'menu-root', onkeydown: keys }, button, list);
}
