// A subscription's secret: revealed when asked for, copied, rotated.
import { get, post, subscription } from './api.js';
import { confirm, h, replace, toast } from './dom.js';
import { time } from './format.js';

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast('Copied.');
  } catch {
    toast('The browser did not let the page copy. Select the text and copy it by hand.', 'bad');
  }
}

export async function rotate({ account }, sub) {
  const sure = await confirm('Rotate secret',
    `Give “${sub.name}” a new secret? For a day deliveries carry signatures of both, so that your receiver `
    + 'can be changed over without missing any.', 'Rotate', false);
  if (!sure) return null;
  try {
    const secret = await post(`${subscription(account, sub.id)}/secret/rotate`);
    toast('The secret was rotated.');
    return secret;
  } catch (error) {
    toast(error.message, 'bad');
    return null;
  }
}

export function secretCard(context, sub) {
  const place = h('div', { class: 'secret' });
  const hidden = () => replace(place,
    h('code', {}, 'whsec_••••••••••••'),
    h('button', { type: 'button', onclick: reveal }, 'Reveal'));
  const shown = (secret) => replace(place,
    h('code', { class: 'selectable' }, secret.secret),
    h('button', { type: 'button', onclick: () => copy(secret.secret) }, 'Copy'),
    h('button', { type: 'button', onclick: hidden }, 'Hide'),
    h('button', { type: 'button', onclick: async () => { const next = await rotate(context, sub); if (next) shown(next); } }, 'Rotate'),
    secret.publicKey && h('p', {}, 'Public key: ', h('code', { class: 'selectable' }, secret.publicKey)),
    secret.previousExpiresAt && h('p', { class: 'quiet' }, 'The secret before it is valid until ', time(secret.previousExpiresAt), '.'));
  async function reveal() {
    try {
      shown(await get(`${subscription(context.account, sub.id)}/secret`));
    } catch (error) {
      toast(error.message, 'bad');
    }
  }
  hidden();
  const root = h('section', { class: 'card', 'aria-label': 'Secret' },
    h('h2', {}, 'Secret'),
    h('p', { class: 'quiet' }, 'Your receiver checks the signature with it, by Standard Webhooks.'),
    place);
  return { root, shown };
}
