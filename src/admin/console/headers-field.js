// Custom headers: rows that come and go, each with what is wrong with it.
import { h, unique } from './dom.js';

export function headersField(headers) {
  const list = h('div', { class: 'headers' });
  const error = h('p', { class: 'error', role: 'status' });
  const rows = [];
  const add = (header = { name: '', value: '' }) => {
    const id = unique('header');
    const input = (label, value) => h('input', {
      'aria-label': label, placeholder: label, 'aria-describedby': id, value, autocomplete: 'off', spellcheck: 'false',
    });
    const name = input('Header name', header.name);
    const value = input('Header value', header.value);
    const fault = h('p', { class: 'error', id });
    const row = { name, value, fault };
    const remove = h('button', {
      class: 'icon', type: 'button', title: 'Remove',
      onclick: () => { rows.splice(rows.indexOf(row), 1); line.remove(); button.focus(); },
    }, '×');
    const call = () => remove.setAttribute('aria-label', `Remove header ${name.value}`.trim());
    name.addEventListener('input', call);
    call();
    const line = h('div', {}, h('div', { class: 'header-row' }, name, value, remove), fault);
    rows.push(row);
    list.append(line);
    return name;
  };
  headers.forEach(add);
  const button = h('button', { type: 'button', onclick: () => add().focus() }, 'Add Header');
  return {
    root: h('fieldset', { class: 'field' },
      h('legend', {}, 'Custom Header'),
      h('p', { class: 'hint' }, 'Sent with every delivery. Values are stored encrypted and shown masked.'),
      list, button, error),
    value: () => rows
      .map(({ name, value }) => ({ name: name.value.trim(), value: value.value }))
      .filter((header) => header.name !== '' || header.value !== ''),
    fail(problems) {
      error.textContent = '';
      for (const { name, value, fault } of rows) {
        fault.textContent = '';
        name.removeAttribute('aria-invalid');
        value.removeAttribute('aria-invalid');
      }
      const filled = rows.filter(({ name, value }) => name.value.trim() !== '' || value.value !== '');
      for (const [path, message] of problems) {
        const at = /^headers\[(\d+)\](?:\.(\w+))?/.exec(path);
        const row = at && filled[Number(at[1])];
        if (row) {
          row.fault.textContent = message;
          (at[2] === 'value' ? row.value : row.name).setAttribute('aria-invalid', 'true');
        } else {
          error.textContent = message;
        }
      }
    },
  };
}
