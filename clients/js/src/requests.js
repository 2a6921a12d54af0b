// Requests without a reply, in the order in which they were made.

/** @typedef {import("./errors.js").RingpostError} RingpostError */
/** @typedef {import("./link.js").Link} Link */
/**
 * `kind` and `room`: where its reply changes something. `rewinds`: the program says from where a
 * room is to go on, whatever it has been given. `repeatable`: it may be sent again on another
 * connection. `watched`, `unwatched`: what it subscribes to, or ends. `written`: where it was last written.
 * @typedef {{
 *   id: string, text: string, bytes: number, repeatable: boolean,
 *   kind: string, room?: string, rewinds?: boolean, watched?: string[], unwatched?: string[],
 *   number: number, written?: Link,
 *   resolve: (reply: any) => void, reject: (error: RingpostError) => void,
 * }} Request
 */

/** All of them. How many there may be is for whoever adds them to see to. */
export class Requests {
  /** @type {Map<string, Request>} by id; the order is that of adding */
  #byId = new Map();
  #last = 0;

  get size() {
    return this.#byId.size;
  }

  /** @param {string} id */
  has(id) {
    return this.#byId.has(id);
  }

  /** @param {Omit<Request, "number">} request */
  add(request) {
    const numbered = { ...request, number: ++this.#last };
    this.#byId.set(request.id, numbered);
    return numbered;
  }

  /** The one under this id has its reply: takes it out. @param {string} id */
  settle(id) {
    const request = this.#byId.get(id);
    this.#byId.delete(id);
    return request;
  }

  /** Whether the one under this id is to join a room or to leave it. @param {string} id */
  isOfRoom(id) {
    return this.#byId.get(id)?.room !== undefined;
  }

  /** Whether a request after that one is to leave this room. @param {number} number @param {string} room */
  leavesAfter(number, room) {
    for (const request of this.#byId.values()) {
      if (request.number > number && request.kind === "leave" && request.room === room) return true;
    }
    return false;
  }

  /** What a new connection has to be told, in order: all but those that may be sent only once and were. */
  toWrite() {
    return [...this.#byId.values()].filter(({ repeatable, written }) => repeatable || written === undefined);
  }

  /** What was written to this connection, and can be answered nowhere else. @param {Link} link */
  onlyOn(link) {
    return [...this.#byId.values()].filter(({ repeatable, written }) => !repeatable && written === link);
  }

  /** Takes all out. */
  takeAll() {
    const all = [...this.#byId.values()];
    this.#byId.clear();
    return all;
  }
}
