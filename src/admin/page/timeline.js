// What happened lately, the newest first.

import { byId, make } from "./dom.js";
import { count, time } from "./format.js";

/**
 * @typedef {{
 *   number: number, at_ms: number, node: string, event: string, member?: string, generation?: number,
 *   digest?: string, nodes?: number, streams?: number, taken_over?: number, took_ms?: number,
 * }} Moment
 */

/** Lines that are kept. */
const LINES_MAX = 512;

/** @param {number | undefined} number @param {string} one */
const many = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;

/** @type {Record<string, (moment: Moment) => [string, string]>} */
const WORDS = {
  member_up: ({ member }) => ["good", `${member} is up`],
  member_suspect: ({ member }) => ["bad", `${member} does not answer everybody`],
  member_refuted: ({ member }) => ["good", `${member} answers again`],
  member_draining: ({ member }) => ["", `${member} drains`],
  member_down: ({ member }) => ["bad", `${member} is down`],
  ring_changed: ({ nodes, digest }) => ["quiet", `the ring has ${many(nodes, "node")} now (${digest?.slice(0, 8)})`],
  hand_over_begun: ({ node, streams }) => ["", `${node} hands over and takes over: ${many(streams, "stream")} to copy`],
  hand_over_finished: ({ node, taken_over, took_ms }) => [
    "good",
    `${node} is done: took over ${many(taken_over, "stream")} in ${((took_ms ?? 0) / 1000).toFixed(1)} s`,
  ],
};

/** Of another connection all is told anew. */
export function clear() {
  byId("timeline").replaceChildren();
}

/** @param {Moment[]} moments oldest first */
export function add(moments) {
  const list = byId("timeline");
  for (const moment of moments) {
    const words = WORDS[moment.event];
    // A newer node may tell more.
    if (!words) continue;
    const [kind, text] = words(moment);
    const line = make("li");
    const at = make("time", "", time(moment.at_ms));
    at.dateTime = new Date(moment.at_ms).toISOString();
    line.append(at, make("span", kind, text));
    list.prepend(line);
  }
  while (list.children.length > LINES_MAX) list.lastElementChild?.remove();
}
