// How a subscription does, in sentences.
import { h } from './dom.js';
import { time } from './format.js';

/** When an open breaker lets a request through. */
function probe(at) {
  if (!at) return 'try it again in a while';
  const seconds = Math.ceil((Date.parse(at) - Date.now()) / 1000);
  if (seconds <= 0) return 'try it again any moment';
  return seconds < 120 ? `try it again in ${seconds} s` : `try it again in ${Math.round(seconds / 60)} min`;
}

const requests = (n) => (n === 1 ? '1 request' : `${n.toLocaleString()} requests`);

/** `recent`: what the newest attempts were that this page knows of, newest first. */
export function inWords(sub, recent) {
  const { state, breaker, nextProbeAt, pending, oldestPendingAt, lastFailureAt, lastSuccessAt } = sub.health;
  const failed = recent.filter((one) => one.error).length;
  const said = recent.find((one) => one.error)?.error.message;
  const sentences = [];
  if (sub.status !== 'active') {
    sentences.push('Nothing is sent: the subscription is inactive.');
    if (pending > 0) sentences.push(`${requests(pending)} wait until it is active again.`);
    return h('p', {}, sentences.join(' '));
  }
  if (failed > 0) {
    sentences.push(`Their server refused ${failed} of the last ${requests(recent.length)}${said ? ` (“${said}”)` : ''}.`);
  } else if (state === 'failing') {
    sentences.push('The newest attempt failed.');
  }
  if (breaker === 'open') {
    sentences.push(`We leave their host alone and ${probe(nextProbeAt)}, with one request; nothing is lost meanwhile, and waiting counts as no attempt.`);
  } else if (breaker === 'half_open') {
    sentences.push('We are trying their host with one request at a time.');
  } else if (state === 'failing') {
    sentences.push('What failed is tried again by the schedule.');
  }
  if (state === 'lagging') sentences.push('It is catching up with what came before: the oldest first.');
  if (pending > 0) {
    const waits = `${pending.toLocaleString()} ${pending === 1 ? 'delivery waits' : 'deliveries wait'}`;
    sentences.push(oldestPendingAt ? [`${waits}, the oldest since `, time(oldestPendingAt), '.'] : `${waits}.`);
  }
  if (sentences.length === 0) {
    if (!lastSuccessAt && !lastFailureAt) return h('p', {}, 'Nothing has been sent yet.');
    return h('p', {}, 'All is well: everything that came has been delivered.');
  }
  return h('p', {}, sentences.flatMap((one, at) => (at === 0 ? [one] : [' ', one])));
}
