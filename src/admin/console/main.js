// The console's frame: who is signed in, where in the console one is, and what stands there.
import { all, call, get, signOut, whenSignedOut } from './api.js';
import { failed, h, loading, menu, replace, toast } from './dom.js';
import { accountsPage } from './accounts.js';
import { detailPage } from './detail.js';
import { signInPage } from './signin.js';
import { webhooksPage } from './webhooks.js';

const content = document.getElementById('content');
const bar = document.getElementById('bar');
const FLAG = 'feature.integrations.webhooks';

/** What every page can reach. */
const context = { me: null, types: [], go, href };

export function href(...parts) {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

function go(...parts) {
  const to = href(...parts);
  if (location.hash === to) show();
  else location.hash = to;
}

/** `#/accounts/acme/webhooks/sub_1` → ['accounts', 'acme', 'webhooks', 'sub_1'] */
function place() {
  return location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decodeURIComponent);
}

const mayManage = () => context.me.role === 'operator'
  || (context.me.role === 'account_owner' && context.me.platformUser);

/** Ends what a page keeps running when another takes its place. */
let leave = () => {};

async function show() {
  leave();
  leave = () => {};
  const { me } = context;
  if (!me) return;
  const [root, name, section, id] = place();
  const account = root === 'accounts' ? name : me.accountId;
  if (!account) {
    drawBar(null);
    return render('Accounts', (page) => accountsPage(page, context));
  }
  if (section !== 'webhooks') return go('accounts', account, 'webhooks');
  drawBar(account);
  if (me.features && me.features[FLAG] === false) {
    return replace(content, h('div', { class: 'empty' },
      h('h1', {}, 'Integrations'),
      h('p', {}, 'Webhooks are turned off for this account. Ask the operator of your platform to turn them on.')));
  }
  const shared = { ...context, account, mayManage: mayManage() };
  if (id) return render('Webhook subscription', (page) => detailPage(page, shared, id));
  return render('Webhooks', (page) => webhooksPage(page, shared));
}

async function render(title, build) {
  document.title = `${title} – Postrider`;
  replace(content, loading(title.toLowerCase()));
  const page = h('div', { class: 'page' });
  try {
    const cleanup = await build(page);
    replace(content, page);
    if (typeof cleanup === 'function') leave = cleanup;
  } catch (error) {
    if (error.status === 401) return;
    replace(content, failed(error, show));
  }
}

function drawBar(account) {
  bar.hidden = false;
  const { me } = context;
  const enabled = !me.features || me.features[FLAG] !== false;
  const who = me.role === 'operator' ? 'Operator'
    : `${me.role === 'account_owner' ? 'Account Owner' : 'Viewer'} of ${me.accountId}`;
  const links = account && h('nav', { 'aria-label': 'Main' },
    h('details', { class: 'nav' },
      h('summary', { 'aria-label': 'Menu' }, '☰'),
      h('ul', {},
        h('li', {}, h('span', { class: 'nav-head', id: 'nav-admin' }, 'Admin'),
          h('ul', { 'aria-labelledby': 'nav-admin' },
            h('li', {}, h('a', {
              href: href('accounts', account, 'webhooks'),
              onclick: (event) => event.target.closest('details').removeAttribute('open'),
            }, 'Integrations')))),
        me.role === 'operator' && h('li', {}, h('a', {
          href: '#/',
          onclick: (event) => event.target.closest('details').removeAttribute('open'),
        }, 'Accounts')))));
  replace(bar,
    links,
    h('a', { class: 'brand', href: '#/' }, 'Postrider'),
    account && h('span', { class: 'crumb' }, account),
    h('span', { class: 'grow' }),
    menu('Signed in', who, [['Sign out', leaveSession]]));
  if (account && enabled) {
    bar.append(h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Integrations' },
      h('a', {
        role: 'tab', 'aria-selected': 'true', href: href('accounts', account, 'webhooks'),
      }, 'Webhooks')));
  }
}

async function leaveSession() {
  try {
    await signOut();
  } catch (error) {
    toast(error.message, 'bad');
    return;
  }
  context.me = null;
  location.hash = '';
  askToSignIn();
}

function askToSignIn(message) {
  leave();
  bar.hidden = true;
  context.me = null;
  document.title = 'Sign in – Postrider';
  replace(content, signInPage(begin, message));
  content.querySelector('input')?.focus();
}

async function begin() {
  context.me = await get('/me');
  context.types = await all('/event-types');
  await show();
}

window.addEventListener('hashchange', show);
whenSignedOut(() => context.me && askToSignIn('Your session has ended. Please sign in again.'));

try {
  // Whether there is a session is asked without an error in the browser's console.
  const session = await call('GET', '/console/session');
  if (session.signedIn) await begin();
  else askToSignIn();
} catch (error) {
  replace(content, failed(error, () => location.reload()));
}
