// The way of a message: from the sender's node to the owner of its user or room, and to the node of
// whoever reads it. The sender writes its node, its clock and its ring into the message; the clocks
// are one, because all is on one machine.

import { cluster, ownerOf } from "./cluster.js";
import { duration, element, now, tint } from "./dom.js";

/** A message that took longer was kept for its reader, or sent again by another way. */
const DIRECT_MS = 1500;

/** What a message says of its sender. @typedef {{at: number, node: string | undefined, digest: string}} Start */

/** @param {string | undefined} node the sender's @returns {Start} */
export const startFrom = (node) => ({ at: now(), node, digest: cluster.ring.digest });

/** The nodes that a message comes through, each once in a row. @param {(string | undefined)[]} nodes */
const through = (nodes) => nodes.filter((node, index) => node && node !== nodes[index - 1]);

/**
 * How a message came here.
 * @param {any} body @param {string} target the user or the room it was sent to @param {string | undefined} here the reader's node
 */
export function drawWay(body, target, here) {
  const took = now() - body.at;
  const owner = ownerOf(target);
  const way = element("span", { class: "way" });
  const changed = body.digest !== cluster.ring.digest;
  if (changed || took > DIRECT_MS || !body.node || !owner) {
    way.append(...chips(through([body.node])), " ⋯ ", ...chips(through([here])));
    way.append(` · ${duration(took)}: ${changed ? "the ring has changed meanwhile" : "it was kept for its reader"}`);
    return way;
  }
  const nodes = through([body.node, owner, here]);
  const hops = nodes.length - 1;
  way.append(...chips(nodes), ` · ${hops === 1 ? "1 hop" : `${hops} hops`} · ${duration(took)}`);
  way.title = `${body.node} has the sender, ${owner} owns ${target}, ${here} has the reader`;
  return way;
}

/** @param {(string | undefined)[]} nodes */
export function chips(nodes) {
  return nodes.flatMap((node, index) => {
    const chip = element("span", { class: "chip tinted", text: node });
    tint(chip, node);
    return index ? [" → ", chip] : [chip];
  });
}
