// Users and rooms whose presence the program subscribes to.

import { Standing } from "./standing.js";

/** One string for a user or a room. @param {{user?: string, room?: string}} of */
export const keyOf = ({ user, room }) => (room === undefined ? `u${user}` : `r${room}`);

/** @extends {Standing<import("./standing.js").Stage & {known: boolean | number}>} */
export class Watches extends Standing {
  /** A subscription has its answer. @param {string} key @param {boolean | number} known */
  add(key, known) {
    this.set(key, { stage: "in", known });
  }

  /** The presence of something is this now; says whether that is news to a program that watches it. @param {string} key @param {boolean | number} known */
  learn(key, known) {
    const watch = this.get(key);
    if (watch) this.add(key, known);
    return !!watch && watch.known !== known;
  }
}
