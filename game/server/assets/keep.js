// What outlives a reload. Owns: the keys in the browser's storage, and what happens when the browser
// refuses it (private windows): then it is kept as long as the page lives.

const PREFIX = 'starvault.';

function keeper(storage) {
  const memory = new Map();
  const attempt = (work) => { try { return work(storage()); } catch { return null; } };
  return {
    get: (key) => attempt((store) => store.getItem(PREFIX + key)) ?? memory.get(key) ?? '',
    set: (key, value) => {
      memory.set(key, value);
      attempt((store) => (value ? store.setItem(PREFIX + key, value) : store.removeItem(PREFIX + key)));
    },
  };
}

/** Per tab, so that two tabs are two players: who we are and where we play. */
export const kept = keeper(() => sessionStorage);
/** For every tab of this browser: preferences, never an identity. */
export const preferred = keeper(() => localStorage);
