// Positions in a stream: behind the entry of an offset, in an epoch.

/** @typedef {import("../index.d.ts").Position} Position */

/**
 * The position that a message of a node has, if it has one.
 * @param {any} said
 * @returns {Position | undefined}
 */
export const positionOf = ({ epoch, offset }) =>
  typeof epoch === "string" && typeof offset === "number" ? { epoch, offset } : undefined;

/**
 * The further one where both are of one epoch, else the new one.
 * @param {Position | undefined} old
 * @param {Position} now
 */
export const further = (old, now) => (old && old.epoch === now.epoch && old.offset > now.offset ? old : now);
