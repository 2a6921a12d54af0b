// What waits for the program, the positions of the inbox (what has arrived, what was handed over),
// and when to ack: cumulative, and not for every message.

import { further, positionOf } from "./position.js";
import { Seen } from "./seen.js";

/** @typedef {import("../index.d.ts").Position} Position */
/** @typedef {import("../index.d.ts").Message} Message */
/**
 * A message on its way to the program. `position`: what the inbox has reached once the program has
 * it; `ackable`: whether that is one to ack. `dropped`: the program does not want it any more.
 * @typedef {{message: Message, position?: Position, ackable: boolean, done: boolean, dropped: boolean}} Item
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
  /** @type {Position | undefined} */
  arrived;
  /** @type {Position | undefined} */
  handed;
  #toAck = false;
  acks = new Acks();

  /** @param {number} seenMax @param {Position} [resume] */
  constructor(seenMax, resume) {
    this.#seen = new Seen(seenMax);
    this.#seenElsewhere = new Seen(seenMax);
    this.arrived = this.handed = resume;
  }

  /** How many messages wait. */
  get size() {
    return this.#waiting.length;
  }

  /** The inbox stands here: everything before it has arrived. @param {Position} position */
  adopt(position) {
    this.arrived = further(this.arrived, position);
    const last = this.#waiting.at(-1);
    if (last) last.position = this.arrived;
    else this.handed = this.arrived;
  }

  /** A message of the inbox; nothing if it had been seen. Its position counts in any case. @param {Message} message */
  message(message) {
    const item = this.#seen.insert(message.from, message.id) ? this.add(message) : undefined;
    const position = positionOf(message);
    if (position) {
      this.adopt(position);
      const last = this.#waiting.at(-1);
      if (last) last.ackable = true;
      else this.#toAck = true;
    }
    return item;
  }

  /** A message of a stream whose positions are not kept; nothing if it had been seen. @param {Message} message */
  other(message) {
    return this.#seenElsewhere.insert(message.stream, message.from, message.id) ? this.add(message) : undefined;
  }

  /** A message that is new. @param {Message} message @returns {Item} */
  add(message) {
    const item = { message, position: this.arrived, ackable: false, done: false, dropped: false };
    this.#waiting.push(item);
    return item;
  }

  /** The program has a message, or wants it no more. @param {Item} item */
  done(item) {
    item.done = true;
    while (this.#waiting[0]?.done) {
      const { position, ackable } = /** @type {Item} */ (this.#waiting.shift());
      this.handed = position ?? this.handed;
      this.#toAck ||= ackable;
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

  /** What is to be acked, if that has changed since it was last asked for. */
  takeToAck() {
    const handed = this.#toAck ? this.handed : undefined;
    this.#toAck = false;
    return handed;
  }
}

/** The ack that is to be sent, and the last one that was. */
class Acks {
  /** @type {Position | undefined} */
  #wanted;
  /** @type {Position | undefined} */
  #sent;
  #messages = 0;
  /** When `take` has something. */
  due = Infinity;

  /** Everything up to this position is done with, one more message. @param {number} now @param {Position} position */
  want(now, position) {
    this.#wanted = further(this.#wanted, position);
    this.#messages += 1;
    this.due = this.#messages >= ACK_MESSAGES ? now : Math.min(this.due, now + ACK_DELAY_MS);
  }

  /** What to ack now, on a connection that works. */
  take() {
    const wanted = this.#wanted;
    this.#sent = wanted ?? this.#sent;
    this.#wanted = undefined;
    this.#messages = 0;
    this.due = Infinity;
    return wanted;
  }

  /** The connection that had the last ack is gone, and may not have delivered it. @param {number} now */
  repeat(now) {
    this.#wanted ??= this.#sent;
    if (this.#wanted) this.due = now;
  }
}
