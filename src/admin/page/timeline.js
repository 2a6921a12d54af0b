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
  hand_over_begun: ({ node, streams }) => ["", `${node} has ${many(streams, "stream")} to copy or hand over`],
  hand_over_finished: (moment) => ["good", `${moment.node}: ${done(moment)} in ${((moment.took_ms ?? 0) / 1000).toFixed(1)} s`],
};

/** What became of the streams that waited; some may have been taken over without a wait. @param {Moment} moment */
function done({ streams = 0, taken_over: taken = 0 }) {
  const copied = `${many(streams, "stream")} copied or handed over`;
  if (taken === 0) return copied;
  return streams > taken ? `${copied}, ${count(taken)} taken over,` : `${many(taken, "stream")} taken over`;
}

/** The moments of the lines, the newest first. @type {Moment[]} */
let shown = [];

/** Of another connection all is told anew. */
export function clear() {
  byId("timeline").replaceChildren();
  shown = [];
}

/** Each goes to its time: what other nodes tell comes later than what this one sees. @param {Moment[]} moments */
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
    const older = shown.findIndex(({ at_ms }) => at_ms <= moment.at_ms);
    const place = older < 0 ? shown.length : older;
    shown.splice(place, 0, moment);
    list.insertBefore(line, list.children[place] ?? null);
  }
  shown.length = Math.min(shown.length, LINES_MAX);
  while (list.children.length > LINES_MAX) list.lastElementChild?.remove();
}
