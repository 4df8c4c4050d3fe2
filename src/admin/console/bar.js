// The bar on top: the menu, where one is, who one is, and the tabs of the section.
import { h, replace } from './dom.js';
import { menu } from './menu.js';

export const FLAG = 'feature.integrations.webhooks';
export const webhooksOff = (me) => Boolean(me.features) && me.features[FLAG] === false;

const bar = document.getElementById('bar');

export function hideBar() {
  bar.hidden = true;
}

/** `section`: what of the account is looked at; null outside of one. */
export function drawBar({ me, href }, account, section, signOut) {
  bar.hidden = false;
  const who = me.role === 'operator' ? 'Operator'
    : `${me.role === 'account_owner' ? 'Account Owner' : 'Viewer'} of ${me.accountId}`;
  const here = (one) => (one === section ? 'page' : null);
  const link = (to, text, current) => h('li', {}, h('a', { href: to, 'aria-current': current }, text));
  const list = h('ul', {},
    account && h('li', {},
      h('a', { href: href('accounts', account, 'admin'), 'aria-current': here('admin') }, 'Admin'),
      h('ul', {}, link(href('accounts', account, 'webhooks'), 'Integrations', here('webhooks')))),
    me.role === 'operator' && link(href('overview'), 'Overview', here('overview')),
    me.role === 'operator' && link(href('accounts'), 'Accounts', here('accounts')));
  replace(bar,
    disclosure(list),
    h('a', { class: 'brand', href: '#/' }, 'Postrider'),
    account && h('span', { class: 'crumb' }, account),
    h('span', { class: 'grow' }),
    menu('Signed in', who, [['Sign out', signOut]], { kind: 'who' }));
  if (section === 'webhooks' && !webhooksOff(me)) {
    bar.append(h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Integrations' },
      h('a', {
        role: 'tab', 'aria-selected': 'true', 'aria-controls': 'content', href: href('accounts', account, 'webhooks'),
      }, 'Webhooks')));
  }
}

/** Links behind a button: a list of places is no ARIA menu, so Tab goes through it. */
function disclosure(list) {
  const place = h('nav', { 'aria-label': 'Main', class: 'nav', hidden: true }, list);
  const button = h('button', { type: 'button', class: 'icon', 'aria-label': 'Menu', 'aria-expanded': 'false' }, '☰');
  const set = (open) => {
    place.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
    document[open ? 'addEventListener' : 'removeEventListener']('pointerdown', away);
  };
  const away = (event) => { if (!root.contains(event.target)) set(false); };
  button.addEventListener('click', () => set(place.hidden));
  place.addEventListener('click', (event) => { if (event.target.closest('a')) set(false); });
  const root = h('div', {
    class: 'nav-root',
    onkeydown: (event) => {
      if (event.key !== 'Escape' || place.hidden) return;
      set(false);
      button.focus();
    },
    onfocusout: (event) => { if (event.relatedTarget && !root.contains(event.relatedTarget)) set(false); },
  }, button, place);
  return root;
}
