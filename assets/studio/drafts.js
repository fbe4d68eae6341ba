// drafts.js: what a person has typed and not used yet, per chunk, kept over a reload of the page; it never talks to the server.

const KEY = "tv2tv.drafts";
const MOST = 200;

function load() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(KEY) || "[]");
    return Array.isArray(stored)
      ? stored.filter((pair) => Array.isArray(pair) && pair.every((part) => typeof part === "string"))
      : [];
  } catch {
    return []; // storage is off or holds something else: drafts then live in memory alone
  }
}

/** Drafts by key (a chunk id, or a place that has no chunk yet). */
export class Drafts {
  #kept = new Map(load());
  #timer = 0;

  get(key) {
    return this.#kept.get(key);
  }

  has(key) {
    return this.#kept.has(key);
  }

  /** Keep `text`; undefined forgets the key. */
  set(key, text) {
    this.#kept.delete(key); // so that the newest stands last
    if (text !== undefined) this.#kept.set(key, text);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST) break;
      this.#kept.delete(oldest);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.save(), 150);
  }

  /** Write to the session's storage now. */
  save() {
    clearTimeout(this.#timer);
    try {
      sessionStorage.setItem(KEY, JSON.stringify([...this.#kept]));
    } catch {
      return; // full or switched off: memory still has them
    }
  }
}
