// The program's side of a client.

import { RingpostError } from "./errors.js";
import { Events } from "./events.js";
import { settingsOf } from "./options.js";
import { createShell } from "./shell.js";

/** @typedef {import("../index.d.ts").Client} Api */

/** Events of an iterator, other than messages, that wait for the program. */
const NOTICES_MAX = 256;

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
    this.#events = new Events(NOTICES_MAX, (item) => this.#do((machine) => machine.taken(item)));
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
    if (body === undefined) throw new RingpostError("bad_request", "a body is any JSON value, and undefined is none");
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
    if (typeof this.#settings.token !== "function") this.#settings.token = token;
    return this.#do((machine) => machine.request({ type: "auth", token }, { repeatable: false }));
  }

  /** @type {Api["ack"]} */
  ack({ epoch, offset }) {
    if (epoch !== undefined && offset !== undefined) this.#do((machine) => machine.ack({ epoch, offset }));
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
