// The operator's first page: which account to look at.
import { all } from './api.js';
import { h } from './dom.js';
import { time } from './format.js';

export async function accountsPage(page, { href }) {
  const accounts = await all('/accounts');
  page.append(h('div', { class: 'page-head' }, h('h1', {}, 'Accounts')));
  if (accounts.length === 0) {
    page.append(h('div', { class: 'empty' },
      h('p', {}, 'There is no account yet. One is made by its first event, its first subscription, or by the API:'),
      h('pre', {}, 'curl -X PUT -H "Authorization: Bearer $TOKEN" …/api/v1/accounts/acme')));
    return;
  }
  const body = h('tbody');
  const draw = (filter) => {
    const shown = accounts.filter((account) => `${account.id} ${account.name ?? ''}`.toLowerCase().includes(filter));
    body.replaceChildren(...shown.map((account) => h('tr', {},
      h('th', { scope: 'row' }, h('a', { href: href('accounts', account.id, 'webhooks') }, account.id)),
      h('td', {}, account.name ?? h('span', { class: 'quiet' }, '–')),
      h('td', {}, time(account.createdAt)))));
  };
  page.append(
    h('input', {
      type: 'search', 'aria-label': 'Search accounts', placeholder: 'Search accounts',
      oninput: (event) => draw(event.target.value.toLowerCase()),
    }),
    h('table', {},
      h('thead', {}, h('tr', {}, ['Account', 'Name', 'Made'].map((text) => h('th', { scope: 'col' }, text)))),
      body));
  draw('');
}
