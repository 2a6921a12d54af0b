// What the program hears of: listeners and async iterators.

/** @typedef {import("./errors.js").RingpostError} RingpostError */
/** @typedef {import("./inbox.js").Item} Item */
/** @typedef {(detail: any) => void} Listener */

/**
 * Listeners are called at once. An iterator has a queue of its own: of messages all, which the
 * machine bounds; of other events so many, and then the newest are dropped.
 */
export class Events {
  #noticesMax;
  #taken;
  /** @type {Map<string, Set<Listener>>} */
  #listeners = new Map();
  /** @type {Set<Queue>} */
  #queues = new Set();
  /** Messages that nobody has asked for yet. @type {Item[]} */
  #backlog = [];
  /** @type {{error?: RingpostError} | undefined} */
  #end;

  /** @param {number} noticesMax @param {(item: Item) => void} taken the program has a message */
  constructor(noticesMax, taken) {
    this.#noticesMax = noticesMax;
    this.#taken = taken;
  }

  /** @param {string} name @param {Listener} listener @returns {() => void} takes it away */
  on(name, listener) {
    const own = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, own.add(listener));
    this.#drainSoon();
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

  /** @param {string} name @param {any} detail */
  tell(name, detail) {
    for (const listener of this.#listeners.get(name) ?? []) call(listener, detail);
    for (const queue of this.#queues) {
      if (queue.name === name && queue.size < this.#noticesMax) queue.push({ detail });
    }
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

  #drainSoon() {
    if (this.#backlog.length) queueMicrotask(() => this.#drain());
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

  get size() {
    return this.#entries.length;
  }

  /** @param {Entry} entry */
  push(entry) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting.resolve({ value: this.#take(entry), done: false });
    else this.#entries.push(entry);
  }

  /** @param {RingpostError} [error] */
  end(error) {
    this.#end ??= { error };
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (error) reject(error);
      else resolve({ value: undefined, done: true });
    }
  }

  /** @returns {Promise<IteratorResult<any>>} */
  next() {
    return new Promise((resolve, reject) => {
      for (let entry = this.#entries.shift(); entry; entry = this.#entries.shift()) {
        const value = this.#take(entry);
        if (!entry.shared?.item.dropped) return resolve({ value, done: false });
      }
      this.#waiting.push({ resolve, reject });
      if (this.#end) this.end(this.#end.error);
    });
  }

  /** The program takes no more. @returns {Promise<IteratorResult<any>>} */
  async return() {
    this.#stop(this.#entries.splice(0).flatMap(({ shared }) => shared ?? []));
    this.end();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @param {Entry} entry */
  #take({ detail, shared }) {
    if (shared) {
      shared.hasRead = true;
      if (--shared.left === 0) this.#taken(shared.item);
    }
    return detail;
  }
}
