// The program's side of a client.

import { RingpostError } from "./errors.js";
import { Events } from "./events.js";
import { settingsOf } from "./options.js";
import { positionOf } from "./position.js";
import { createShell } from "./shell.js";

/** @typedef {import("../index.d.ts").Client} Api */

/**
 * A client of a cluster, which connects and stays connected until it is closed, or refused for good.
 * @param {import("../index.d.ts").Options} options
 * @returns {Api}
 */
export const connect = (options) => new Client(options);

/** @implements {Api} */
class Client {
  #settings;
  #shell;
  #events;
  /** @type {import("../index.d.ts").State} */
  #state = { state: "connecting" };
  #closed;
  ready;

  /** @param {import("../index.d.ts").Options} options */
  constructor(options) {
    this.#settings = settingsOf(options);
    this.#events = new Events((item) => this.#do((machine) => machine.taken(item)));
    this.on("state", (state) => (this.#state = state));
    this.ready = /** @type {Promise<void>} */ (
      new Promise((resolve, reject) => {
        this.on("state", ({ state, error }) => {
          if (state === "connected") resolve();
          if (state === "closed") reject(error ?? new RingpostError("closed", "the client was closed"));
        });
      })
    );
    // Who does not wait for it need not catch it.
    this.ready.catch(() => {});
    this.#closed = /** @type {Promise<void>} */ (new Promise((resolve) => this.on("closed", () => resolve())));
    this.#shell = createShell(this.#settings, this.#events);
  }

  get state() {
    return this.#state.state;
  }

  get node() {
    return this.#state.node;
  }

  get position() {
    return this.#shell.machine.handed();
  }

  get stats() {
    return this.#shell.machine.stats();
  }

  /** @type {Api["roomPosition"]} */
  roomPosition(room) {
    return this.#shell.machine.roomHanded(room);
  }

  /** @type {Api["on"]} */
  on(name, listener) {
    return this.#events.on(name, listener);
  }

  /** @type {Api["events"]} */
  events(name) {
    return this.#events.iterate(name);
  }

  messages() {
    return this.events("message");
  }

  [Symbol.asyncIterator]() {
    return this.messages();
  }

  /** @type {Api["send"]} */
  async send(to, body, { qos = 1, id, notify, echo } = {}) {
    if (body === undefined) throw new RingpostError("bad_request", "a body is JSON");
    const repeatable = qos === 1 && to !== "everyone";
    const message = { type: "send", to, body, qos: +repeatable, notify, echo };
    return this.#do((machine) => machine.request(message, { id, repeatable }));
  }

  /** @type {Api["join"]} */
  async join(room, { since } = {}) {
    return this.#do((machine) => machine.join(room, since));
  }

  /** @type {Api["leave"]} */
  async leave(room) {
    return this.#do((machine) => machine.leave(room));
  }

  /** @param {any} of */
  async presence(of) {
    return this.#presence(of);
  }

  /** @param {any} of */
  async subscribe(of) {
    return this.#presence(of, true);
  }

  /** @type {Api["unsubscribe"]} */
  async unsubscribe(of) {
    await this.#presence(of, false);
  }

  /** @type {Api["auth"]} */
  async auth(token) {
    const settings = this.#settings;
    const before = settings.token;
    if (typeof before !== "function") settings.token = token;
    try {
      return await this.#do((machine) => machine.auth(token));
    } catch (error) {
      // The next connection needs a good one.
      if (/** @type {any} */ (error).code === "not_allowed" && settings.token === token) settings.token = before;
      throw error;
    }
  }

  /** Nothing is acked in rooms. @param {any} of */
  ack({ stream = "inbox", ...of }) {
    const position = positionOf(of);
    if (position && stream === "inbox") this.#do((machine) => machine.ack(position));
  }

  close() {
    this.#do((machine) => machine.close());
    return this.#closed;
  }

  /** @param {any} of @param {boolean} [subscribe] */
  #presence(of, subscribe) {
    return this.#do((machine) => machine.presence(Array.isArray(of) ? { users: of } : of, subscribe));
  }

  /** @template T @param {(machine: import("./machine.js").Machine) => T} what */
  #do(what) {
    return this.#shell.run(() => what(this.#shell.machine));
  }
}
