// The rooms that the program is in, and how far it has come in each.
//
// Membership ends with the connection, so on each new one all rooms are asked for again, each from
// where its messages had come to.

import { further } from "./position.js";
import { Seen } from "./seen.js";

/** @typedef {import("../index.d.ts").Position} Position */
/**
 * `stage`: how the current connection stands to it. `came`: since it was asked for, messages with a
 * position have come. `waiting`: messages with a position that wait for the program.
 * @typedef {{
 *   stage: "out" | "asked" | "in", came: boolean, seen: Seen,
 *   arrived: Position, handed: Position, waiting: number,
 * }} Room
 */

/** All of them. How many there may be is for the nodes to say. */
export class Rooms {
  /** @type {Map<string, Room>} */
  #byName = new Map();
  #seenMax;

  /** @param {number} seenMax */
  constructor(seenMax) {
    this.#seenMax = seenMax;
  }

  /** @param {string} name */
  get(name) {
    return this.#byName.get(name);
  }

  /**
   * The program has joined a room. One that it is in already goes on, unless it `rewinds`.
   * @param {string} name @param {Position} position @param {boolean} [rewinds]
   */
  join(name, position, rewinds) {
    const room = this.#byName.get(name);
    if (room && !rewinds) {
      room.stage = "in";
      return reach(room, position);
    }
    this.#byName.set(name, {
      stage: "in",
      came: false,
      seen: new Seen(this.#seenMax),
      arrived: position,
      handed: position,
      waiting: 0,
    });
  }

  /** The program is not in it any more. @param {string} name */
  leave(name) {
    this.#byName.delete(name);
  }

  /**
   * A message of a room; `false` if it had been seen. Its position counts in any case.
   * @param {Room} room @param {{from: string, id: string}} message @param {Position} [position]
   */
  message(room, { from, id }, position) {
    const isNew = room.seen.insert(from, id);
    if (position) {
      if (isNew) room.waiting += 1;
      reach(room, position);
      room.came = true;
    }
    return isNew;
  }

  /** The program has been given a message with that position. @param {Room} room @param {Position} position */
  hand(room, position) {
    room.waiting = Math.max(room.waiting - 1, 0);
    room.handed = room.waiting === 0 ? room.arrived : position;
  }

  /** There is another connection, or none. */
  offline() {
    for (const room of this.#byName.values()) room.stage = "out";
  }

  /** All that are to be asked for: what a `join` says of each. */
  unasked() {
    const out = [...this.#byName].filter(([, room]) => room.stage === "out");
    return out.map(([room, { arrived }]) => ({ key: room, item: { room, since: arrived } }));
  }

  /** @param {string} name */
  asking(name) {
    const room = this.#byName.get(name);
    if (room) Object.assign(room, { stage: "asked", came: false });
  }

  /** A room that was asked for is joined; says whether it waited for that. @param {string} name @param {Position} position */
  rejoined(name, position) {
    const room = this.#byName.get(name);
    if (room?.stage !== "asked") return false;
    room.stage = "in";
    // Messages have come further, perhaps into another epoch.
    if (!room.came) reach(room, position);
    return true;
  }

  /**
   * A room that was asked for could not be joined: it is to be asked for again, or forgotten; says
   * whether it waited for that.
   * @param {string} name @param {boolean} again
   */
  refused(name, again) {
    const room = this.#byName.get(name);
    if (room?.stage !== "asked") return false;
    room.stage = "out";
    if (!again) this.leave(name);
    return true;
  }
}

/** Everything up to there has come. @param {Room} room @param {Position} position */
function reach(room, position) {
  room.arrived = further(room.arrived, position);
  if (room.waiting === 0) room.handed = room.arrived;
}
