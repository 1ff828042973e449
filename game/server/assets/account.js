// The calls to the server that belong to no game: signing in, the profile, the release.
// Owns: HTTP and its retries. Never draws, never keeps, never touches the WebSocket.

import { profileOf } from './shapes.js';
import { t } from './words.js';

const TRIES = 3;
const RETRY_MS = 200;

/** Makes a new player: `{token, name}`. Fails with a text for people. */
export async function signInAsGuest(displayName) {
  const answer = await post('/v1/guests', { displayName });
  return { token: answer.token, name: answer.profile?.displayName ?? displayName };
}

/** Our own profile; null when it cannot be had just now, false when the token is refused. */
export async function readProfile(token) {
  try {
    const response = await fetch('/v1/players/me', { headers: { authorization: `Bearer ${token}` } });
    if (response.status === 401) return false;
    return response.ok ? profileOf(await response.json()) : null;
  } catch {
    return null;
  }
}

/** Puts an item on or takes it off; our profile afterwards. Fails with a text for people. */
export async function equipItem(token, itemId, equip) {
  return profileOf(await post('/v1/players/me/equipment', { itemId, equip }, { authorization: `Bearer ${token}` }));
}

/** The release that answers here; empty when it cannot be had. */
export async function readRelease() {
  try {
    return (await (await fetch('/v1/version')).json()).release ?? '';
  } catch {
    return '';
  }
}

async function post(path, body, headers = {}) {
  for (let attempt = 1; ; attempt += 1) {
    let response;
    try {
      response = await fetch(path, {
        method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body),
      });
    } catch {
      throw new Error(t('errOffline'));
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    if (response.status === 429) throw new Error(t('RATE_LIMITED'));
    if (response.status < 500 || attempt === TRIES) throw new Error(answer.message || `HTTP ${response.status}`);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS * 2 ** attempt));
  }
}
