// What waits for the program, the positions of the inbox (what has arrived, what was handed over),
// and when to ack: cumulative, and not for every message.

import { further, positionOf } from "./position.js";
import { createSeen } from "./seen.js";

/** @typedef {import("../index.d.ts").Position} Position */
/** @typedef {import("../index.d.ts").Message} Message */
/**
 * A message on its way to the program. `position`: what the inbox has reached once the program has
 * it; `ackable`: whether that is one to ack. `dropped`: the program does not want it any more.
 * @typedef {{message: Message, position?: Position, ackable?: boolean, done?: boolean, dropped?: boolean}} Item
 */

/** An ack waits this long for more to ack. */
const ACK_DELAY_MS = 100;
/** With so many messages it waits no longer. */
const ACK_MESSAGES = 64;

export class Inbox {
  /** @type {Item[]} */
  #waiting = [];
  #seen;
  /** The same for what is neither of the inbox nor of a room that is kept track of. */
  #seenElsewhere;
  #isAutomatic;
  #now;
  /** The ack that is to be sent, for how many messages, and the last one that was. @type {Position | undefined} */
  #wanted;
  #wants = 0;
  /** @type {Position | undefined} */
  #sent;
  /** When `takeAck` has something. */
  ackAt = Infinity;
  /** @type {Position | undefined} */
  arrived;
  /** @type {Position | undefined} */
  handed;

  /** @param {import("./options.js").Settings} settings @param {() => number} now */
  constructor({ seenMax, resume, autoAck }, now) {
    this.#seen = createSeen(seenMax);
    this.#seenElsewhere = createSeen(seenMax);
    this.#isAutomatic = autoAck;
    this.#now = now;
    this.arrived = this.handed = resume;
  }

  /** How many messages wait. */
  get size() {
    return this.#waiting.length;
  }

  /** The inbox stands here: everything before it has arrived. @param {Position} position @param {boolean} [ackable] */
  adopt(position, ackable = false) {
    this.arrived = further(this.arrived, position);
    const last = this.#waiting.at(-1);
    if (!last) return this.#hand(this.arrived, ackable);
    last.position = this.arrived;
    last.ackable ||= ackable;
  }

  /** A message of the inbox; nothing if it had been seen. Its position counts in any case. @param {Message} message */
  message(message) {
    const item = this.#seen(message.from, message.id) ? this.add(message) : undefined;
    const position = positionOf(message);
    if (position) this.adopt(position, true);
    return item;
  }

  /** A message of a stream whose positions are not kept; nothing if it had been seen. @param {Message} message */
  other(message) {
    return this.#seenElsewhere(message.stream, message.from, message.id) ? this.add(message) : undefined;
  }

  /** A message that is new. @param {Message} message */
  add(message) {
    /** @type {Item} */
    const item = { message, position: this.arrived };
    this.#waiting.push(item);
    return item;
  }

  /** The program has a message, or wants it no more. @param {Item} item */
  done(item) {
    item.done = true;
    while (this.#waiting[0]?.done) {
      const { position, ackable } = /** @type {Item} */ (this.#waiting.shift());
      this.#hand(position, ackable);
    }
  }

  /** The program wants no more of a stream. @param {string} stream */
  forget(stream) {
    for (const item of [...this.#waiting]) {
      if (item.message.stream !== stream) continue;
      item.dropped = true;
      this.done(item);
    }
  }

  /** @param {Position} [position] @param {boolean} [ackable] */
  #hand(position, ackable) {
    this.handed = position ?? this.handed;
    if (ackable && this.handed && this.#isAutomatic) this.ack(this.handed);
  }

  /** Everything up to this position is done with, one more message. @param {Position} position */
  ack(position) {
    this.#wanted = further(this.#wanted, position);
    this.#wants += 1;
    this.ackAt = Math.min(this.ackAt, this.#now() + (this.#wants < ACK_MESSAGES ? ACK_DELAY_MS : 0));
  }

  /** What to ack now, on a connection that works. */
  takeAck() {
    const wanted = this.#wanted;
    this.#sent = wanted ?? this.#sent;
    this.#wanted = undefined;
    this.#wants = 0;
    this.ackAt = Infinity;
    return wanted;
  }

  /** The connection that had the last ack is gone, and may not have delivered it. */
  repeatAck() {
    this.#wanted ??= this.#sent;
    if (this.#wanted) this.ackAt = this.#now();
  }
}
