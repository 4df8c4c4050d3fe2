// The console's frame: who is signed in, where in the console one is, and what stands there.
import { accountsPage } from './accounts.js';
import { adminPage } from './admin.js';
import { all, call, get, signOut, whenSignedOut } from './api.js';
import { drawBar, hideBar, webhooksOff } from './bar.js';
import { detailPage } from './detail.js';
import { failed, h, loading, replace, toast } from './dom.js';
import { keepTimes } from './format.js';
import { overviewPage } from './overview.js';
import { signInPage } from './signin.js';
import { webhooksPage } from './webhooks.js';

const content = document.getElementById('content');

/** What every page can reach. */
const context = { me: null, types: [], go, href };

function href(...parts) {
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
/** Which page is the one asked for last: one that was slow to load does not replace it. */
let turn = 0;

function show() {
  leave();
  leave = () => {};
  const { me } = context;
  if (!me) return undefined;
  const [root, name, section, id] = place();
  const account = root === 'accounts' && name ? name : me.accountId;
  if (root === 'overview' && me.role === 'operator') {
    drawBar(context, null, 'overview', endSession);
    return render('Overview', (page) => overviewPage(page));
  }
  if (!account) {
    drawBar(context, null, 'accounts', endSession);
    return render('Accounts', (page) => accountsPage(page, context));
  }
  if (section !== 'webhooks' && section !== 'admin') return go('accounts', account, 'webhooks');
  drawBar(context, account, section, endSession);
  const shared = { ...context, account, mayManage: mayManage() };
  if (section === 'admin') return render('Admin', (page) => adminPage(page, shared));
  if (webhooksOff(me)) {
    return render('Integrations', (page) => page.append(h('div', { class: 'empty' },
      h('h1', {}, 'Integrations'),
      h('p', {}, 'Webhooks are turned off for this account. Ask the operator of your platform to turn them on.'))));
  }
  if (id) return render('Webhook subscription', (page) => detailPage(page, shared, id));
  return render('Webhooks', (page) => webhooksPage(page, shared));
}

async function render(title, build) {
  turn += 1;
  const mine = turn;
  document.title = `${title} – Postrider`;
  replace(content, loading(title.toLowerCase()));
  const page = h('div', { class: 'page' });
  try {
    const cleanup = await build(page);
    const ends = typeof cleanup === 'function' ? cleanup : () => {};
    if (mine !== turn) return ends();
    replace(content, page);
    leave = ends;
  } catch (error) {
    if (error.status === 401 || mine !== turn) return undefined;
    replace(content, failed(error, show));
  }
  return undefined;
}

async function endSession() {
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
  leave = () => {};
  turn += 1;
  hideBar();
  context.me = null;
  for (const box of document.querySelectorAll('dialog')) box.close();
  document.title = 'Sign in – Postrider';
  replace(content, signInPage(async () => { await begin(); content.focus(); }, message));
  content.querySelector('input')?.focus();
}

async function begin() {
  context.me = await get('/me');
  context.types = await all('/event-types');
  await show();
}

window.addEventListener('hashchange', () => {
  if (!context.me) return;
  // Whoever reads by ear or moves by keys is taken along.
  content.focus();
  show();
});
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  content.focus();
});
whenSignedOut(() => context.me && askToSignIn('Your session has ended. Please sign in again.'));
keepTimes();

try {
  // Whether there is a session is asked without an error in the browser's console.
  const session = await call('GET', '/console/session');
  if (session.signedIn) await begin();
  else askToSignIn();
} catch (error) {
  replace(content, failed(error, () => location.reload()));
}
