// The ring, to scale: each node's share inside, and outside who owns which part of the circle.

import { byId, svg, tint, write } from "./dom.js";
import { percent } from "./format.js";

/** @typedef {{ digest: string, nodes: string[], owners: number[] }} Ring */
/** @typedef {import("./cluster.js").Row} Row */

/** More labels than that would lie over each other. */
const LABELS_MAX = 16;

/** @type {Ring | undefined} */
let ring;
/** @type {Map<string, Row>} */
let rows = new Map();
/** @type {string | undefined} */
let chosen;
let drawn = "";

/** @param {Ring} next */
export function setRing(next) {
  ring = next;
  drawParts(next);
}

/** @param {Row[]} next */
export function setRows(next) {
  rows = new Map(next.map((row) => [row.member.id, row]));
  drawShares();
  for (const path of byId("ring").querySelectorAll("path")) {
    path.dataset.state = rows.get(path.dataset.node ?? "")?.state ?? "down";
  }
  describe();
}

/** Shows one node among the others; nothing: all alike. @param {string | undefined} id */
export function choose(id) {
  if (chosen === id) return;
  chosen = id;
  byId("ring").classList.toggle("chosen", id !== undefined);
  for (const path of byId("ring").querySelectorAll("path")) {
    path.classList.toggle("chosen", path.dataset.node === id);
  }
  describe();
}

/** A point of the circle; `turn` goes from 0, at the top, to 1. @param {number} radius @param {number} turn */
function point(radius, turn) {
  const angle = turn * 2 * Math.PI;
  return `${(radius * Math.sin(angle)).toFixed(2)} ${(-radius * Math.cos(angle)).toFixed(2)}`;
}

/** A part of a band. @param {number} inner @param {number} outer @param {number} from @param {number} to */
function band(inner, outer, from, to) {
  // A whole circle has no two ends.
  const end = Math.min(to, from + 0.9999);
  const large = end - from > 0.5 ? 1 : 0;
  return (
    `M${point(outer, from)}A${outer} ${outer} 0 ${large} 1 ${point(outer, end)}` +
    `L${point(inner, end)}A${inner} ${inner} 0 ${large} 0 ${point(inner, from)}Z`
  );
}

/** @param {string} id @param {string} d */
function node(id, d) {
  const path = /** @type {SVGPathElement} */ (svg("path", { d }));
  path.dataset.node = id;
  tint(path, id);
  path.classList.toggle("chosen", id === chosen);
  path.addEventListener("pointerenter", () => choose(id));
  path.addEventListener("pointerleave", () => choose(undefined));
  return path;
}

/** @param {Ring} ring */
function drawParts({ nodes, owners }) {
  /** @type {string[]} */
  const paths = nodes.map(() => "");
  for (let from = 0; from < owners.length; ) {
    const owner = owners[from] ?? 0;
    let to = from + 1;
    while (to < owners.length && owners[to] === owner) to += 1;
    paths[owner] += band(90, 102, from / owners.length, to / owners.length);
    from = to;
  }
  byId("parts").replaceChildren(...nodes.map((id, index) => node(id, paths[index] ?? "")));
}

function drawShares() {
  const owning = [...rows.values()].filter(({ member }) => member.share > 0);
  const now = JSON.stringify(owning.map(({ member }) => [member.id, member.share]));
  if (now === drawn) return;
  drawn = now;
  const gap = owning.length > 1 ? Math.min(0.002, 0.1 / owning.length) : 0;
  let from = 0;
  const labels = [];
  const paths = [];
  for (const { member } of owning) {
    paths.push(node(member.id, band(50, 74, from + gap, from + member.share - gap)));
    const [x, y] = point(82, from + member.share / 2).split(" ").map(Number);
    const label = svg("text", { x: x ?? 0, y: y ?? 0 });
    write(label, member.id.length > 8 ? `${member.id.slice(0, 7)}…` : member.id);
    labels.push(label);
    from += member.share;
  }
  byId("shares").replaceChildren(...paths);
  byId("labels").replaceChildren(...(owning.length <= LABELS_MAX ? labels : []));
  const words = owning.map(({ member }) => `${member.id} ${percent(member.share)}`);
  byId("ring").setAttribute("aria-label", `Shares of the ring: ${words.join(", ") || "none"}`);
}

function describe() {
  const member = chosen === undefined ? undefined : rows.get(chosen)?.member;
  if (member) {
    write(byId("ring-name"), member.id.length > 9 ? `${member.id.slice(0, 8)}…` : member.id);
    write(byId("ring-note"), percent(member.share));
  } else {
    const nodes = ring?.nodes.length ?? 0;
    write(byId("ring-name"), String(nodes));
    write(byId("ring-note"), nodes === 1 ? "node" : "nodes");
  }
}
