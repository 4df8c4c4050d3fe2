// The API, to read: what /api/v1/openapi.json says, by tag and operation.

import { failed, h, loading, replace } from './dom.js';

const content = document.getElementById('content');

function resolve(spec, schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split('/').reduce((at, key) => at[key], spec);
}

/** In a few words what a value of this schema is. */
function kind(spec, schema) {
  const name = schema.$ref?.split('/').pop();
  if (name) return name;
  if (schema.anyOf) return schema.anyOf.map((one) => kind(spec, one)).join(' or ');
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(', ');
  const bounds = [
    schema.format, schema.pattern && `like ${schema.pattern}`,
    schema.minimum !== undefined && `from ${schema.minimum}`, schema.maximum !== undefined && `to ${schema.maximum}`,
    schema.minLength !== undefined && `at least ${schema.minLength} long`,
    schema.maxLength !== undefined && `at most ${schema.maxLength} long`,
    schema.maxItems !== undefined && `at most ${schema.maxItems}`,
    schema.default !== undefined && `default ${JSON.stringify(schema.default)}`,
  ].filter(Boolean);
  const type = schema.type === 'array' ? `array of ${kind(spec, schema.items ?? {})}` : [schema.type ?? 'any'].flat().join(' or ');
  return [type, ...bounds].join(', ');
}

function members(spec, schema, depth = 0) {
  const alternatives = resolve(spec, schema).anyOf ?? [schema];
  const found = resolve(spec, alternatives.map((one) => resolve(spec, one)).find((one) => one.properties || one.items) ?? schema);
  const shape = found.items ? resolve(spec, found.items) : found;
  if (!shape.properties || depth > 4) return null;
  const required = new Set(shape.required ?? []);
  return h('dl', {}, Object.entries(shape.properties).map(([name, member]) => [
    h('dt', {}, name, required.has(name) ? '' : ' (optional)'),
    h('dd', {}, h('span', { class: 'quiet' }, kind(spec, member)), ' ', prose(member.description), members(spec, member, depth + 1)),
  ]));
}

/** What stands between backquotes is code. */
const prose = (text) => (text ?? '').split('`').map((part, at) => (at % 2 ? h('code', {}, part) : part));

/** Without the clipboard, which a page over plain http has not, the line is at least selected. */
async function copied(line, button) {
  try {
    await navigator.clipboard.writeText(line.textContent);
    button.textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(line);
    button.textContent = 'Selected, now copy it';
  }
}

const example = (spec, schema) => resolve(spec, schema).examples?.[0];
const pretty = (value) => h('pre', { tabindex: '0' }, JSON.stringify(value, null, 2));

function curl(spec, method, path, operation) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => {
    const schema = operation.parameters.find((one) => one.name === name)?.schema ?? {};
    return encodeURIComponent(schema.examples?.[0] ?? schema.enum?.[0] ?? name);
  });
  const parts = [`curl -X ${method.toUpperCase()} '${location.origin}${filled}'`];
  if (operation.security?.length !== 0) parts.push(`-H "Authorization: Bearer $TOKEN"`);
  const body = Object.entries(operation.requestBody?.content ?? {})[0];
  if (body) {
    parts.push(`-H 'Content-Type: ${body[0]}'`);
    parts.push(`-d '${JSON.stringify(example(spec, body[1].schema) ?? {}).replaceAll("'", "'\\''")}'`);
  }
  return parts.join(' \\\n  ');
}

function show(spec, path, method, operation) {
  const line = h('pre', { tabindex: '0', 'aria-label': 'A line for curl' }, curl(spec, method, path, operation));
  const copy = h('button', { type: 'button', 'aria-live': 'polite', onclick: () => copied(line, copy) }, 'Copy');
  const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  const sections = [h('p', { class: 'prose' }, prose(operation.description)), h('h3', {}, 'Try it'), line, copy];
  if (operation.parameters.length) {
    sections.push(h('h3', {}, 'Parameters'), h('dl', {}, operation.parameters.map((one) => [
      h('dt', {}, one.name, h('span', { class: 'quiet' }, ` in ${one.in}${one.required ? '' : ', optional'}`)),
      h('dd', {}, h('span', { class: 'quiet' }, kind(spec, one.schema)), ' ', prose(one.description)),
    ])));
  }
  if (body) {
    sections.push(h('h3', {}, 'Request body'), h('p', {}, prose(resolve(spec, body).description)), members(spec, body));
    sections.push(pretty(example(spec, body)));
  }
  sections.push(h('h3', {}, 'Answers'));
  for (const [status, answer] of Object.entries(operation.responses)) {
    const schema = Object.values(answer.content ?? {})[0]?.schema;
    const shown = schema && !schema.$ref?.endsWith('/Problem');
    const item = shown && (schema.properties?.items?.items ?? schema);
    sections.push(h('p', {}, h('strong', {}, status), ' ', prose(answer.description),
      Object.keys(answer.headers ?? {}).length ? ` Headers: ${Object.keys(answer.headers).join(', ')}.` : ''));
    if (shown) sections.push(members(spec, schema));
    const sample = shown && example(spec, item);
    if (sample) sections.push(pretty(item === schema ? sample : { items: [sample], next: null }));
  }
  return h('details', { class: 'operation', id: operation.operationId },
    h('summary', {}, h('span', { class: `method ${method}` }, method.toUpperCase()), ' ', h('span', { class: 'path' }, path), ' ', h('span', { class: 'quiet' }, operation.summary)),
    h('div', {}, sections));
}

/** A link to an operation opens it, and whoever uses the keyboard goes on from there. */
function open() {
  const named = document.getElementById(location.hash.slice(1));
  if (named?.tagName !== 'DETAILS') return;
  named.open = true;
  named.querySelector('summary').focus();
  named.scrollIntoView();
}

async function start() {
  replace(content, loading('the description'));
  try {
    const answer = await fetch('/api/v1/openapi.json');
    if (!answer.ok) throw new Error(`the description could not be read: ${answer.status}`);
    const spec = await answer.json();
    const operations = Object.entries(spec.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
    const tagged = (tag) => operations.filter((one) => one.operation.tags.includes(tag.name));
    replace(content,
      h('h1', {}, `${spec.info.title} API ${spec.info.version}`),
      h('p', { class: 'prose' }, prose(spec.info.description)),
      h('p', {}, h('a', { href: '/api/v1/openapi.json' }, 'The OpenAPI document'), ' · ', h('a', { href: '/console/' }, 'The console')),
      h('nav', { class: 'toc', 'aria-label': 'Operations' }, h('ul', {}, spec.tags.map((tag) =>
        h('li', {}, h('strong', {}, tag.name), h('ul', {}, tagged(tag).map(({ operation }) =>
          h('li', {}, h('a', { href: `#${operation.operationId}` }, operation.summary)))))))),
      spec.tags.map((tag) => h('section', {},
        h('h2', {}, tag.name), h('p', { class: 'quiet' }, prose(tag.description)),
        tagged(tag).map(({ path, method, operation }) => show(spec, path, method, operation)))));
    open();
  } catch (error) {
    replace(content, failed(error, start));
  }
}

addEventListener('hashchange', open);
start();
