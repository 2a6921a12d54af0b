// The ring, drawn to scale: who owns which part of the circle, and where the users of this page lie.

import { cluster, LOBBY, ownerOf } from "./cluster.js";
import { byId, place, svg, tint, write } from "./dom.js";
import { percent } from "./nodes.js";

/** @typedef {{user: string, node: string | undefined}} Somebody */

const CENTRE = 150;
/** The circle on which keys lie. */
const RIM = 112;
/** That on which the nodes stand. */
const NODES = 56;
const NODE_SIZE = 20;
const LABELS = 127;

/** The digest that was drawn last. */
let drawn = "";

/** Where a fraction of the circle is, clockwise from the top. @param {number} at @param {number} radius */
function point(at, radius) {
  const angle = at * 2 * Math.PI;
  return { x: CENTRE + radius * Math.sin(angle), y: CENTRE - radius * Math.cos(angle) };
}

/** @param {Somebody[]} people */
export function drawRing(people) {
  if (drawn !== cluster.ring.digest) drawParts();
  drawn = cluster.ring.digest;
  drawNodes();
  drawPlaces(people);
  const shares = cluster.ring.nodes.map((id) => `${id} ${percent(cluster.members.get(id)?.share ?? 0)}`);
  const owned = people.map(({ user }) => `${user} at ${ownerOf(user) ?? "nobody"}`);
  const label = `The ring: ${[...shares, ...owned].join(", ") || "empty"}`;
  if (byId("ring").getAttribute("aria-label") !== label) byId("ring").setAttribute("aria-label", label);
}

/** One path for each node, of an arc for each run of parts. */
function drawParts() {
  const { nodes, parts } = cluster.ring;
  /** @type {string[]} */
  const paths = nodes.map(() => "");
  for (let begin = 0, end = 0; begin < parts.length; begin = end) {
    while (end < parts.length && parts[end] === parts[begin]) end += 1;
    // An arc cannot be a whole circle.
    const [from, middle, to] = [begin, (begin + end) / 2, end].map((part) => part / parts.length);
    paths[parts[begin]] += arc(from, middle) + arc(middle, to);
  }
  const made = nodes.map((id, index) => {
    const path = svg("path", { d: paths[index], class: "part tinted" });
    tint(path, id);
    return path;
  });
  byId("parts").replaceChildren(...made);
}

/** @param {number} from @param {number} to */
function arc(from, to) {
  const [a, b] = [point(from, RIM), point(to, RIM)];
  return `M${a.x.toFixed(2)} ${a.y.toFixed(2)}A${RIM} ${RIM} 0 0 1 ${b.x.toFixed(2)} ${b.y.toFixed(2)}`;
}

/** Where a node stands: in the order of their names, so that it stays there while it is gone. @param {string | undefined} id */
function standOf(id) {
  const index = cluster.nodes.findIndex((node) => node.id === id);
  return index < 0 ? undefined : point(index / cluster.nodes.length, cluster.nodes.length > 1 ? NODES : 0);
}

function drawNodes() {
  const stands = byId("stands");
  cluster.nodes.forEach(({ id }, index) => {
    const stand = stands.children[index] ?? stands.appendChild(newStand(id));
    const share = cluster.members.get(id)?.share ?? 0;
    stand.classList.toggle("gone", share === 0);
    stand.classList.toggle("doubtful", cluster.members.get(id)?.state === "suspect");
    const { x, y } = /** @type {{x: number, y: number}} */ (standOf(id));
    const [circle, name, part] = stand.children;
    place(circle, { cx: x, cy: y });
    place(name, { x, y: y - 1 });
    place(part, { x, y: y + 9 });
    write(part, share ? percent(share) : "gone");
  });
}

/** @param {string} id */
function newStand(id) {
  const stand = svg("g", { class: "stand tinted" });
  tint(stand, id);
  stand.append(svg("circle", { r: NODE_SIZE }), svg("text", { class: "name" }), svg("text", { class: "part-of" }));
  write(stand.children[1], id);
  return stand;
}

/**
 * Each user of the page, and the room, on the rim, with a line to the owner; a guest with another to where it is.
 * @param {Somebody[]} people
 */
function drawPlaces(people) {
  const lobby = { key: LOBBY, name: `#${LOBBY}`, node: undefined };
  const all = [...people.map(({ user, node }) => ({ key: user, name: user, node })), lobby];
  const marks = byId("marks");
  /** @type {{x: number, y: number}[]} */
  const labels = [];
  all.forEach(({ key, name, node }, index) => {
    const mark = marks.children[index] ?? marks.appendChild(newMark());
    const at = cluster.places.get(key)?.at;
    const owner = standOf(ownerOf(key));
    mark.classList.toggle("nowhere", at === undefined);
    mark.classList.toggle("room", key === LOBBY);
    if (at === undefined) return;
    tint(mark, ownerOf(key));
    const [toOwner, toNode, dot, text] = mark.children;
    drawLine(toOwner, point(at, RIM), owner);
    drawLine(toNode, point(at, RIM), node && node !== ownerOf(key) ? standOf(node) : undefined);
    const on = point(at, RIM);
    place(dot, { cx: on.x, cy: on.y });
    const side = Math.sin(at * 2 * Math.PI);
    place(text, { ...apart(labels, at), class: side > 0.4 ? "right" : side < -0.4 ? "left" : "middle" });
    write(text, name);
  });
  while (marks.children.length > all.length) marks.lastElementChild.remove();
}

/** Where the label for a place goes, not onto another one. @param {{x: number, y: number}[]} labels @param {number} at */
function apart(labels, at) {
  let label = point(at, LABELS);
  const isTaken = () => labels.some(({ x, y }) => Math.abs(x - label.x) < 30 && Math.abs(y - label.y) < 11);
  for (let tries = 0; tries < 8 && isTaken(); tries += 1) {
    label = { ...label, y: label.y + (label.y < CENTRE ? -11 : 11) };
  }
  labels.push(label);
  // Text stands on its place.
  return { x: label.x, y: label.y + (label.y < CENTRE ? 2 : 6) };
}

function newMark() {
  const mark = svg("g", { class: "mark tinted" });
  mark.append(svg("line", { class: "to-owner" }), svg("line", { class: "to-node" }));
  mark.append(svg("circle", { r: 5 }), svg("text", {}));
  return mark;
}

/** Up to the edge of the node. @param {Element} line @param {{x: number, y: number}} from @param {{x: number, y: number} | undefined} to */
function drawLine(line, from, to) {
  line.classList.toggle("nowhere", !to);
  if (!to) return;
  const part = 1 - NODE_SIZE / Math.hypot(to.x - from.x, to.y - from.y);
  place(line, { x1: from.x, y1: from.y, x2: from.x + (to.x - from.x) * part, y2: from.y + (to.y - from.y) * part });
}
