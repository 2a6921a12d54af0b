// The rooms that the program is in, and how far it has come in each.

import { further } from "./position.js";
import { createSeen } from "./seen.js";
import { Standing } from "./standing.js";

/** @typedef {import("../index.d.ts").Position} Position */
/**
 * `waiting`: messages with a position that wait for the program.
 * @typedef {import("./standing.js").Stage & {seen: ReturnType<typeof createSeen>, arrived: Position, handed: Position, waiting: number}} Room
 */

/**
 * All of them. How many there may be is for the nodes to say.
 * @extends {Standing<Room>}
 */
export class Rooms extends Standing {
  /**
   * The program has joined a room. One that it is in already goes on, unless it `rewinds`.
   * @param {string} name @param {Position} position @param {number} seenMax @param {boolean} [rewinds]
   */
  join(name, position, seenMax, rewinds) {
    const before = rewinds ? undefined : this.get(name);
    const room = before ?? { seen: createSeen(seenMax), arrived: position, handed: position, waiting: 0, stage: "in" };
    room.stage = "in";
    this.set(name, room);
    reach(room, position);
  }

  /**
   * A message of a room; `false` if it had been seen. Its position counts in any case.
   * @param {Room} room @param {{from: string, id: string}} message @param {Position} [position]
   */
  message(room, { from, id }, position) {
    const isNew = room.seen(from, id);
    if (position) {
      room.waiting += +isNew;
      room.came = true;
      reach(room, position);
    }
    return isNew;
  }

  /** The program has been given a message with that position. @param {Room} room @param {Position} position */
  hand(room, position) {
    room.waiting = Math.max(room.waiting - 1, 0);
    room.handed = room.waiting ? position : room.arrived;
  }

  /** A room that was asked for is joined; says whether it waited for that. @param {string} name @param {Position} position */
  rejoined(name, position) {
    const room = this.asked(name);
    if (!room) return false;
    room.stage = "in";
    // Messages have come further, perhaps into another epoch.
    if (!room.came) reach(room, position);
    return true;
  }
}

/** Everything up to there has come. @param {Room} room @param {Position} position */
function reach(room, position) {
  room.arrived = further(room.arrived, position);
  if (!room.waiting) room.handed = room.arrived;
}
