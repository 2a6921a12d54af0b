// What the program hears of: listeners and async iterators.

/** @typedef {import("./errors.js").RingpostError} RingpostError */
/** @typedef {import("./inbox.js").Item} Item */
/** @typedef {(detail: any) => void} Listener */

/** Events of an iterator, other than messages, that wait for the program. */
const NOTICES_MAX = 256;

/**
 * Listeners are called at once. An iterator has a queue of its own: of messages all, which the
 * machine bounds; of other events so many, and then the oldest are dropped.
 */
export class Events {
  #taken;
  /** @type {Map<string, Set<Listener>>} */
  #listeners = new Map();
  /** @type {Set<Queue>} */
  #queues = new Set();
  /** Messages that nobody has asked for yet. @type {Item[]} */
  #backlog = [];
  /** @type {{error?: RingpostError} | undefined} */
  #end;

  /** @param {(item: Item) => void} taken the program has a message */
  constructor(taken) {
    this.#taken = taken;
  }

  /** @param {string} name @param {Listener} listener @returns {() => void} takes it away */
  on(name, listener) {
    const own = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, own.add(listener));
    queueMicrotask(() => this.#drain());
    return () => void own.delete(listener);
  }

  /** @param {string} name */
  iterate(name) {
    const queue = new Queue(name, (left) => this.#stop(queue, left), this.#taken);
    this.#queues.add(queue);
    this.#drain();
    if (this.#end) queue.end(this.#end.error);
    return queue;
  }

  /** An iterator takes no more: messages that nobody else has had wait for the next one. @param {Queue} queue @param {Shared[]} left */
  #stop(queue, left) {
    this.#queues.delete(queue);
    const unread = left.filter((shared) => (shared.left -= 1) === 0);
    unread.filter(({ hasRead }) => hasRead).forEach(({ item }) => this.#taken(item));
    this.#backlog.unshift(...unread.filter(({ hasRead }) => !hasRead).map(({ item }) => item));
    this.#drain();
  }

  /** Nothing comes behind the end. @param {string} name @param {any} detail */
  tell(name, detail) {
    if (this.#end) return;
    for (const listener of this.#listeners.get(name) ?? []) call(listener, detail);
    for (const queue of this.#queues) if (queue.name === name) queue.push({ detail });
  }

  /** @param {Item} item */
  message(item) {
    this.#backlog.push(item);
    this.#drain();
  }

  /** Iterators end, when what waits in them was taken. @param {RingpostError} [error] */
  end(error) {
    this.#end = { error };
    for (const queue of this.#queues) queue.end(error);
  }

  #drain() {
    for (;;) {
      const listeners = this.#listeners.get("message") ?? new Set();
      const queues = [...this.#queues].filter(({ name }) => name === "message");
      const item = listeners.size + queues.length ? this.#backlog.shift() : undefined;
      if (!item) return;
      if (item.dropped) continue;
      const shared = { item, left: queues.length, hasRead: listeners.size > 0 };
      for (const queue of queues) queue.push({ detail: item.message, shared });
      for (const listener of listeners) call(listener, item.message);
      if (!queues.length) this.#taken(item);
    }
  }
}

/** A listener that throws is the program's affair: it hears of it as of any error that nobody catches. @param {Listener} listener @param {any} detail */
function call(listener, detail) {
  try {
    listener(detail);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/**
 * `left`: iterators that have a message still to take; `hasRead`: somebody has had it.
 * @typedef {{item: Item, left: number, hasRead: boolean}} Shared
 */
/** @typedef {{detail: any, shared?: Shared}} Entry */

/**
 * One async iterator.
 * @implements {AsyncIterableIterator<any>}
 */
class Queue {
  name;
  #stop;
  #taken;
  /** @type {Entry[]} */
  #entries = [];
  /** @type {{resolve: (result: IteratorResult<any>) => void, reject: (error: any) => void}[]} */
  #waiting = [];
  /** @type {{error?: RingpostError} | undefined} */
  #end;

  /** @param {string} name @param {(left: Shared[]) => void} stop @param {(item: Item) => void} taken */
  constructor(name, stop, taken) {
    this.name = name;
    this.#stop = stop;
    this.#taken = taken;
  }

  /** @param {Entry} entry */
  push(entry) {
    if (this.#entries.push(entry) > NOTICES_MAX && !entry.shared) this.#entries.shift();
    this.#settle();
  }

  /** @param {RingpostError} [error] */
  end(error) {
    this.#end ??= { error };
    this.#settle();
  }

  /** @returns {Promise<IteratorResult<any>>} */
  next() {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#settle();
    });
  }

  /** The program takes no more. @returns {Promise<IteratorResult<any>>} */
  async return() {
    this.#stop(this.#entries.splice(0).flatMap(({ shared }) => shared ?? []));
    this.#end = {};
    return this.next();
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** Gives what is there to who waits for it. */
  #settle() {
    while (this.#waiting.length && (this.#entries.length || this.#end)) {
      const { detail, shared } = this.#entries.shift() ?? {};
      if (shared?.item.dropped) continue;
      const [{ resolve, reject }] = this.#waiting.splice(0, 1);
      if (shared) {
        shared.hasRead = true;
        if (--shared.left === 0) this.#taken(shared.item);
      }
      if (detail !== undefined) resolve({ value: detail, done: false });
      else if (this.#end?.error) reject(this.#end.error);
      else resolve({ value: undefined, done: true });
    }
  }
}
