// A field of a form: its label, what it is for, and what is wrong with it, tied to it for every reader.
import { h, unique } from './dom.js';

/** A label, its field, and the place for what is wrong with it. */
export function field(label, input, hint) {
  const id = unique('field');
  input.id = id;
  const error = h('p', { class: 'error', id: `${id}-error` });
  input.setAttribute('aria-describedby', hint ? `${id}-hint ${id}-error` : `${id}-error`);
  const root = h('div', { class: 'field' },
    h('label', { for: id }, label),
    hint && h('p', { class: 'hint', id: `${id}-hint` }, hint),
    input, error);
  return {
    root,
    input,
    fail(message) {
      error.textContent = message ?? '';
      if (message) input.setAttribute('aria-invalid', 'true');
      else input.removeAttribute('aria-invalid');
    },
  };
}

export const select = (value, options) => h('select', { value },
  options.map(([key, text]) => h('option', { value: key, selected: key === value }, text)));
