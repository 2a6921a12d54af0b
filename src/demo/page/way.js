// The way of a message: from the sender's node to the owner of its user or room, and to the node of
// whoever reads it. The sender writes its node, its clock and its ring into the message; the clocks
// are one, because all is on one machine.

import { cluster, ownerOf, seenAgain } from "./cluster.js";
import { duration, element, now, tint } from "./dom.js";

/** A message that took longer was kept for its reader, or sent again by another way. */
const DIRECT_MS = 1500;

/** What a message says of its sender. @typedef {{at: number, node: string | undefined, digest: string}} Start */

/** @param {string | undefined} node the sender's @returns {Start} */
export const startFrom = (node) => ({ at: now(), node, digest: cluster.ring.digest });

/** The nodes that a message comes through, each once in a row. @param {(string | undefined)[]} nodes */
const through = (nodes) => nodes.filter((node, index) => node && node !== nodes[index - 1]);

/**
 * How a message came here. Known when the ring was asked for after that: a message may come before the page
 * hears of a change.
 * @param {any} body @param {string} target the user or the room it was sent to @param {string | undefined} here the reader's node
 */
export async function drawWay(body, target, here) {
  const took = now() - body.at;
  await seenAgain();
  return element("span", { class: "way" }, ...describe(body, took, ownerOf(target), here));
}

/** @param {any} body @param {number} took @param {string | undefined} owner @param {string | undefined} here */
function describe(body, took, owner, here) {
  const nodes = through([body.node, owner, here]);
  const changed = body.digest !== cluster.ring.digest || nodes.some((id) => !runs(id));
  if (changed || took > DIRECT_MS || !body.node || !owner) {
    const why = changed ? "the ring has changed meanwhile" : "it was kept for its reader";
    return [...chips(through([body.node])), " ⋯ ", ...chips(through([here])), ` · ${duration(took)}: ${why}`];
  }
  const hops = nodes.length - 1;
  return [...chips(nodes), ` · ${hops === 1 ? "1 hop" : `${hops} hops`} · ${duration(took)}`];
}

/** @param {string | undefined} id */
const runs = (id) => cluster.nodes.some((node) => node.id === id && node.state !== "stopped");

/** @param {(string | undefined)[]} nodes */
export function chips(nodes) {
  return nodes.flatMap((node, index) => {
    const chip = element("span", { class: "chip tinted", text: node });
    tint(chip, node);
    return index ? [" → ", chip] : [chip];
  });
}
