// An account's administration: what there is to look after, and how it does.
import { all, subscriptions } from './api.js';
import { webhooksOff } from './bar.js';
import { h } from './dom.js';

export async function adminPage(page, { account, me, href }) {
  const off = webhooksOff(me);
  const items = off ? [] : await all(subscriptions(account), 10000);
  const failing = items.filter((one) => one.status === 'active' && one.health.state !== 'healthy').length;
  const active = items.filter((one) => one.status === 'active').length;
  page.append(
    h('div', { class: 'page-head' }, h('h1', {}, 'Admin')),
    h('div', { class: 'columns' },
      h('section', { class: 'card', 'aria-labelledby': 'integrations' },
        h('h2', { id: 'integrations' }, h('a', { href: href('accounts', account, 'webhooks') }, 'Integrations')),
        h('p', {}, 'Webhooks tell systems of yours about what happens in this account, as it happens.'),
        off
          ? h('p', { class: 'quiet' }, 'Turned off for this account.')
          : h('dl', {},
            h('dt', {}, 'Subscriptions'), h('dd', {}, String(items.length)),
            h('dt', {}, 'Active'), h('dd', {}, String(active)),
            h('dt', {}, 'In trouble'), h('dd', {}, failing === 0 ? 'none' : String(failing))))));
}
