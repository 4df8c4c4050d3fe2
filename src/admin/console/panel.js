// The panel in which a subscription is made or changed.
import { patch, post, subscription, subscriptions } from './api.js';
import { dialog, h, toast, unique } from './dom.js';
import { eventsField } from './events-field.js';
import { field, select } from './fields.js';
import { filterField, told } from './filter-field.js';
import { headersField } from './headers-field.js';

/** Resolves with the subscription that came of it, or null. */
export function openPanel(context, sub) {
  const title = sub ? (context.mayManage ? 'Edit Webhook Subscription' : 'Webhook Subscription') : 'Create Webhook Subscription';
  return dialog(title, (close) => form(context, sub, close), { wide: true });
}

function form(context, sub, close) {
  const { account, types, mayManage } = context;
  const url = field('Callback URL',
    h('input', { type: 'url', value: sub?.callbackUrl ?? '', placeholder: 'https://', required: true, spellcheck: 'false' }),
    'Where events are POSTed to, over https.');
  const name = field('Name', h('input', { value: sub?.name ?? '', required: true, maxlength: 200 }));
  const chosen = eventsField(types, sub?.events ?? []);
  const headers = headersField(sub?.headers ?? []);
  const description = field('Description', h('textarea', { rows: 3, value: sub?.description ?? '', maxlength: 2000 }));
  const statusId = unique('status');
  const active = h('input', { type: 'checkbox', role: 'switch', id: statusId, checked: sub ? sub.status === 'active' : true });
  const options = sub?.delivery ?? {};
  const timeout = field('Deadline of an attempt, in milliseconds',
    h('input', { type: 'number', min: 1, max: 300000, value: options.timeoutMs ?? '' }), 'Left empty: the server’s default.');
  const inFlight = field('Requests at once',
    h('input', { type: 'number', min: 1, max: 1024, value: options.maxInFlight ?? '' }), 'Left empty: the server’s default.');
  const rate = field('Requests a second',
    h('input', { type: 'number', min: 0.001, step: 'any', value: options.ratePerSecond ?? '' }), 'Left empty: no limit.');
  const ordering = field('Order', select(options.ordering ?? 'none', [
    ['none', 'As fast as possible'], ['fifo', 'One after the other, oldest first'],
  ]));
  const blocked = field('Where the next event in order fails', select(options.onBlocked ?? 'block', [
    ['block', 'Wait for it'], ['skip', 'Go on, try it again later'], ['park', 'Stop, and turn inactive'],
  ]));
  const signature = field('Signature', select(options.signature ?? 'v1', [
    ['v1', 'HMAC-SHA256 (v1)'], ['v1a', 'Ed25519 (v1a)'], ['v1,v1a', 'Both'],
  ]));
  const typesChosen = () => types.filter((type) => chosen.has(type.id));
  const filter = filterField(account, typesChosen, sub?.filter);
  chosen.root.addEventListener('change', filter.typesChanged);
  const advanced = h('details', { class: 'advanced', open: Boolean(sub?.filter) },
    h('summary', {}, 'Advanced'),
    filter.root,
    [timeout, inFlight, rate, ordering, blocked, signature].map((one) => one.root));
  const fault = h('p', { class: 'error', role: 'alert' });
  const save = h('button', { class: 'primary', type: 'submit' }, 'Save');

  const byField = {
    callbackUrl: url, name, events: chosen, description, filter,
    'delivery.timeoutMs': timeout, 'delivery.maxInFlight': inFlight, 'delivery.ratePerSecond': rate,
    'delivery.ordering': ordering, 'delivery.onBlocked': blocked, 'delivery.signature': signature,
  };

  function show(problems) {
    const rest = [];
    for (const one of Object.values(byField)) one.fail(null);
    const forHeaders = [];
    const forFilter = [];
    for (const [path, message] of problems) {
      if (path.startsWith('headers')) forHeaders.push([path, message]);
      else if (path.startsWith('filter')) forFilter.push([path, message]);
      else if (byField[path]) byField[path].fail(message);
      else if (path.startsWith('events')) chosen.fail(message);
      else rest.push(`${path}: ${message}`);
    }
    headers.fail(forHeaders);
    if (forFilter.length > 0) filter.fail(told(forFilter));
    fault.textContent = rest.join('; ');
    if (problems.some(([path]) => path.startsWith('delivery.') || path.startsWith('filter'))) advanced.open = true;
    const first = box.querySelector('[aria-invalid="true"]');
    (first?.matches('fieldset') ? first.querySelector('input') : first)?.focus();
  }

  const number = (one) => (one.input.value === '' ? null : Number(one.input.value));

  async function submit(event) {
    event.preventDefault();
    const missing = [];
    if (url.input.value.trim() === '') missing.push(['callbackUrl', 'is required']);
    if (name.input.value.trim() === '') missing.push(['name', 'is required']);
    if (chosen.value().length === 0) missing.push(['events', 'choose at least one']);
    let condition = null;
    try {
      condition = filter.value();
    } catch (error) {
      missing.push(['filter', error.message.replace(/^The filter /, '')]);
    }
    if (missing.length > 0) return show(missing);
    const body = {
      callbackUrl: url.input.value.trim(),
      name: name.input.value.trim(),
      events: chosen.value(),
      headers: headers.value(),
      description: description.input.value,
      status: active.checked ? 'active' : 'inactive',
      filter: condition,
      delivery: {
        ratePerSecond: number(rate),
        ordering: ordering.input.value,
        onBlocked: blocked.input.value,
        signature: signature.input.value,
      },
    };
    if (sub || number(timeout) !== null) body.delivery.timeoutMs = number(timeout);
    if (sub || number(inFlight) !== null) body.delivery.maxInFlight = number(inFlight);
    save.disabled = true;
    try {
      const saved = sub
        ? await patch(subscription(account, sub.id), body, sub.version)
        : await post(subscriptions(account), body, { 'idempotency-key': keyOf(JSON.stringify(body)) });
      toast(sub ? `“${saved.name}” was saved.` : `“${saved.name}” was created.`);
      close(saved);
    } catch (error) {
      if (error.code === 'version_mismatch') {
        show([['', 'somebody else has changed this subscription meanwhile. Close the panel and open it again.']]);
      } else {
        show(error.fields?.size > 0 ? [...error.fields] : []);
        if (!error.fields?.size) fault.textContent = error.message;
      }
    } finally {
      save.disabled = false;
    }
  }
  // The same again has the same key, so that a click too much creates once; what was mended is another request.
  let asked = { text: '', key: '' };
  const keyOf = (text) => {
    if (text !== asked.text) asked = { text, key: crypto.randomUUID?.() ?? String(Math.random()).slice(2) };
    return asked.key;
  };

  const box = h('form', { onsubmit: submit, novalidate: true },
    h('fieldset', { class: 'bare', disabled: !mayManage },
      url.root, name.root, chosen.root, headers.root, description.root,
      h('div', { class: 'field switch' }, active, h('label', { for: statusId }, 'Status'),
        h('span', { class: 'quiet', 'aria-hidden': 'true' }, 'Active while on')),
      advanced),
    fault,
    h('div', { class: 'actions' },
      h('button', { type: 'button', onclick: () => close() }, mayManage ? 'Cancel' : 'Close'),
      mayManage && save));
  return box;
}
