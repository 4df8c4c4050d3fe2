// The admin API. The session is a cookie that no script can read; what changes something carries a header
// that another site cannot send.

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? 'unknown';
    /** Field → message. */
    this.fields = new Map((body.errors ?? []).map((error) => [error.field, error.message]));
  }
}

let onSignedOut = () => {};
/** Called when the session is over. */
export const whenSignedOut = (handler) => { onSignedOut = handler; };

export async function call(method, path, body, headers = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: {
        'x-postrider-console': '1',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
    });
  } catch {
    throw new Problem(0, { code: 'unreachable', detail: 'The server cannot be reached. Is it running?' });
  }
  const text = await response.text();
  let value = null;
  try {
    value = text === '' ? null : JSON.parse(text);
  } catch {
    // An answer from something in between.
  }
  if (response.ok) return value;
  const problem = new Problem(response.status, value ?? {});
  if (response.status === 401 && !path.endsWith('/session')) onSignedOut();
  throw problem;
}

const base = '/api/v1';
export const get = (path) => call('GET', base + path);
export const post = (path, body = {}, headers) => call('POST', base + path, body, headers);
export const patch = (path, body, version) => call('PATCH', base + path, body, { 'if-match': `"${version}"` });
export const del = (path) => call('DELETE', base + path);

export const signIn = (token) => call('POST', '/console/session', { token });
export const signOut = () => call('DELETE', '/console/session');

/** Every page of a list, up to `most` items. */
export async function all(path, most = 1000) {
  const items = [];
  let cursor = null;
  do {
    const joint = path.includes('?') ? '&' : '?';
    const page = await get(`${path}${joint}limit=250${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < most);
  return items;
}

export const account = (name) => `/accounts/${encodeURIComponent(name)}`;
export const subscriptions = (name) => `${account(name)}/subscriptions`;
export const subscription = (name, id) => `${subscriptions(name)}/${encodeURIComponent(id)}`;
