// Users and rooms whose presence the program subscribes to.
//
// A subscription ends with the connection, so on each new one all are asked for again; what changed
// in between is told then.

/** @typedef {{stage: "out" | "asked" | "in", known?: boolean | number}} Watch */

/** One string for a user or a room. @param {{user?: string, room?: string}} of */
export const keyOf = ({ user, room }) => (room === undefined ? `u${user}` : `r${room}`);

export class Watches {
  /** @type {Map<string, Watch>} */
  #byKey = new Map();

  /** A subscription has its answer. @param {string} key @param {boolean | number} [known] */
  add(key, known) {
    this.#byKey.set(key, { stage: "in", known });
  }

  /** @param {string} key */
  remove(key) {
    this.#byKey.delete(key);
  }

  /** The presence of something is this now; says whether that is news to a program that watches it. @param {string} key @param {boolean | number} known */
  learn(key, known) {
    const watch = this.#byKey.get(key);
    if (!watch) return false;
    const news = watch.known !== known;
    Object.assign(watch, { stage: "in", known });
    return news;
  }

  /** There is another connection, or none. */
  offline() {
    for (const watch of this.#byKey.values()) watch.stage = "out";
  }

  /** All that are to be asked for. */
  unasked() {
    const out = [...this.#byKey].filter(([, watch]) => watch.stage === "out");
    return out.map(([key]) => ({ key, item: key.slice(1), isRoom: key[0] === "r" }));
  }

  /** @param {string} key */
  asking(key) {
    const watch = this.#byKey.get(key);
    if (watch) watch.stage = "asked";
  }

  /** It could not be asked for: it is to be again, or is forgotten; says whether it waited for that. @param {string} key @param {boolean} again */
  refused(key, again) {
    const watch = this.#byKey.get(key);
    if (watch?.stage !== "asked") return false;
    watch.stage = "out";
    if (!again) this.#byKey.delete(key);
    return true;
  }
}
