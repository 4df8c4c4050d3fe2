// Signing in with a token.
import { signIn } from './api.js';
import { h } from './dom.js';

export function signInPage(signedIn, message) {
  const error = h('p', { class: 'error', id: 'signin-error', role: 'alert' });
  const token = h('input', {
    id: 'token', type: 'password', autocomplete: 'off', required: true, 'aria-describedby': 'signin-error',
    spellcheck: 'false',
  });
  const button = h('button', { class: 'primary', type: 'submit' }, 'Sign in');
  const submit = async (event) => {
    event.preventDefault();
    error.textContent = '';
    button.disabled = true;
    try {
      await signIn(token.value.trim());
      await signedIn();
    } catch (problem) {
      error.textContent = problem.message;
      token.setAttribute('aria-invalid', 'true');
      token.focus();
    } finally {
      button.disabled = false;
    }
  };
  return h('form', { class: 'signin', onsubmit: submit, novalidate: true },
    h('h1', {}, 'Postrider'),
    message && h('p', { role: 'status' }, message),
    h('label', { for: 'token' }, 'Token'), token, error, button,
    h('p', { class: 'quiet' },
      'An Account Owner makes tokens by the API; the operator’s stands in operator.token in the data directory.'));
}
