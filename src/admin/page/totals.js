// The whole cluster in some numbers, with the last two minutes of those that move.

import { byId, make, svg, write } from "./dom.js";
import { bytes, count, duration, rate } from "./format.js";

/** @typedef {ReturnType<import("./cluster.js").Cluster["totals"]>} Totals */
/** @typedef {{ name: string, text: (totals: Totals) => string, small?: (totals: Totals) => string, line?: (totals: Totals) => number, isBad?: (totals: Totals) => boolean }} Tile */

/** @type {Tile[]} */
const TILES = [
  {
    name: "Nodes alive",
    text: ({ alive }) => count(alive),
    small: ({ alive, members }) => (alive === members ? "" : `of ${count(members)}`),
    isBad: ({ alive, members }) => alive < members,
  },
  { name: "Sessions", text: ({ sessions }) => count(sessions), small: ({ guests }) => (guests ? `${count(guests)} guests` : ""), line: ({ sessions }) => sessions },
  { name: "Messages in", text: ({ messages_in }) => `${rate(messages_in)}/s`, small: (all) => `${bytes(all.bytes_in)}/s`, line: (all) => all.messages_in },
  { name: "Messages out", text: ({ messages_out }) => `${rate(messages_out)}/s`, small: (all) => `${bytes(all.bytes_out)}/s`, line: (all) => all.messages_out },
  {
    name: "Hops",
    text: ({ messages_forwarded }) => `${rate(messages_forwarded)}/s`,
    small: (all) => `${bytes(all.bytes_forwarded)}/s`,
    line: (all) => all.messages_forwarded,
  },
  { name: "Delivery, median", text: ({ p50 }) => duration(p50), small: ({ p99 }) => `p99 ${duration(p99)}`, line: ({ p99 }) => Math.min(p99 ?? 0, 60) },
  { name: "Queued", text: ({ queued }) => count(queued), line: ({ queued }) => queued },
  { name: "Streams", text: ({ streams }) => count(streams), small: (all) => `${bytes(all.inbox_bytes)} held`, line: ({ streams }) => streams },
  {
    name: "To copy",
    text: (all) => count(all.under_replicated),
    line: (all) => all.under_replicated,
    isBad: (all) => all.under_replicated > 0,
  },
];

const POINTS_MAX = 120;

/** @type {{ tile: Tile, box: HTMLElement, text: HTMLElement, small: HTMLElement, path: Element, points: number[] }[]} */
let drawn = [];

export function prepare() {
  drawn = TILES.map((tile) => {
    const box = make("div", "total");
    const value = make("dd");
    const [text, small] = [make("span"), make("small")];
    value.append(text, " ", small);
    const path = svg("path");
    const chart = svg("svg", { viewBox: `0 0 ${POINTS_MAX - 1} 20`, preserveAspectRatio: "none", "aria-hidden": "true" });
    if (tile.line) chart.append(path);
    box.append(make("dt", "", tile.name), value, chart);
    return { tile, box, text, small, path, points: [] };
  });
  byId("totals").replaceChildren(...drawn.map(({ box }) => box));
}

/** @param {Totals} totals */
export function draw(totals) {
  for (const { tile, box, text, small, path, points } of drawn) {
    write(text, tile.text(totals));
    write(small, tile.small?.(totals) ?? "");
    box.dataset.state = tile.isBad?.(totals) ? "bad" : "";
    if (!tile.line) continue;
    points.push(tile.line(totals));
    if (points.length > POINTS_MAX) points.shift();
    path.setAttribute("d", line(points));
  }
}

/** @param {number[]} points */
function line(points) {
  // From zero, so that a flat line is one.
  const most = Math.max(...points, 1e-9);
  const at = points.map((value, index) => `${POINTS_MAX - points.length + index} ${(19 - (value / most) * 18).toFixed(1)}`);
  return at.length > 1 ? `M${at.join("L")}` : "";
}
