// The table of members. Rows keep their places while somebody looks at them.

import * as details from "./details.js";
import { byId, make, tint, write } from "./dom.js";
import { age, bytes, count, duration, percent, rate } from "./format.js";
import { choose } from "./ring.js";

/** @typedef {import("./cluster.js").Row} Row */
/**
 * @typedef {{ name: string, title: string, isText?: boolean, value: (row: Row) => number | string | undefined, text: (row: Row) => string }} Column
 */

/** @param {string} name @param {string} title @param {(row: Row) => number | undefined} value @param {(value: number | undefined) => string} shown @returns {Column} */
const number = (name, title, value, shown) => ({ name, title, value, text: (row) => shown(value(row)) });

/** @type {Column[]} */
const COLUMNS = [
  { name: "Node", title: "Its id; opens what has no column", isText: true, value: ({ member }) => member.id, text: ({ member }) => member.id },
  { name: "State", title: "As the asked node sees it", isText: true, value: ({ state }) => state, text: stateText },
  number("Share", "Of all users", ({ member }) => member.share, (share) => percent(share ?? 0)),
  number("Sessions", "Sessions of clients on it", ({ member }) => member.stats?.sessions, count),
  number("Guests", "Sessions elsewhere of users that it owns", ({ member }) => member.stats?.guests, count),
  number("Streams", "Inboxes and rooms that it owns", ({ member }) => member.stats?.streams_owned, count),
  number("Held", "Copies that it has, its own included", ({ member }) => member.stats?.streams_held, count),
  number("To copy", "Streams that wait for a copy or a take-over", ({ member }) => member.under_replicated, count),
  number("In/s", "Messages taken from clients and backends", ({ rates }) => rates?.messages_in, rate),
  number("Out/s", "Messages handed to sessions", ({ rates }) => rates?.messages_out, rate),
  number("Hops/s", "Messages sent on to an owner elsewhere; not copies, nor batches for guests and rooms", ({ rates }) => rates?.messages_forwarded, rate),
  number("Bytes in/s", "Bytes of the bodies of messages taken", ({ rates }) => rates?.bytes_in, bytes),
  number("Bytes out/s", "Bytes of the bodies of messages handed to sessions", ({ rates }) => rates?.bytes_out, bytes),
  number("Bytes hop/s", "Bytes of the bodies of messages sent on to an owner elsewhere", ({ rates }) => rates?.bytes_forwarded, bytes),
  number("Queued", "Requests that wait for a peer, kept messages without an outcome, webhook events", ({ queued }) => queued, count),
  number("p50", "Half of the deliveries took at most that, in the last 30 s", ({ p50 }) => p50, duration),
  number("p99", "Of a hundred deliveries 99 took at most that, in the last 30 s", ({ p99 }) => p99, duration),
  number("Kept", "Bytes of kept messages, copies included", ({ member }) => member.stats?.inbox_bytes, bytes),
  number("Up for", "Since its last start", ({ member }) => member.stats?.uptime_ms, age),
  { name: "Generation", title: "Grows with each start", value: ({ member }) => member.generation, text: ({ member }) => String(member.generation) },
];

/** Rows change their places at most that often. */
const SORT_EVERY_MS = 5_000;

let sorted = { column: 0, isDown: false };
let sortedAt = -Infinity;
/** @type {Map<string, HTMLTableRowElement>} */
const lines = new Map();
/** @type {Row[]} */
let rows = [];

/** @param {Row} row */
function stateText({ member, state }) {
  return member.stale ? `${state}, no numbers` : state;
}

export function prepare() {
  const headings = COLUMNS.map((column, index) => {
    const heading = make("th", column.isText ? "text" : "");
    heading.scope = "col";
    const button = make("button", "", column.name);
    button.type = "button";
    button.title = column.title;
    button.setAttribute("aria-description", column.title);
    button.addEventListener("click", () => sortBy(index));
    heading.append(button);
    return heading;
  });
  byId("headings").replaceChildren(...headings);
  const meanings = COLUMNS.flatMap(({ name, title }) => [make("dt", "", name), make("dd", "", title)]);
  byId("meanings").replaceChildren(...meanings);
  showSorting();
}

/** @param {number} column */
function sortBy(column) {
  // Of numbers the large ones are wanted first.
  const isDown = sorted.column === column ? !sorted.isDown : !COLUMNS[column]?.isText;
  sorted = { column, isDown };
  showSorting();
  order();
}

function showSorting() {
  [...byId("headings").children].forEach((heading, index) => {
    const direction = sorted.isDown ? "descending" : "ascending";
    heading.setAttribute("aria-sort", index === sorted.column ? direction : "none");
  });
}

/** @param {Row[]} next */
export function draw(next) {
  rows = next;
  const ids = new Set(rows.map(({ member }) => member.id));
  for (const [id, line] of lines) {
    if (!ids.has(id)) {
      line.remove();
      lines.delete(id);
    }
  }
  let isNew = false;
  for (const row of rows) {
    let line = lines.get(row.member.id);
    if (!line) {
      line = add(row.member.id);
      isNew = true;
    }
    fill(line, row);
  }
  const isLookedAt = byId("members").matches(":hover");
  if (isNew || (!isLookedAt && performance.now() - sortedAt > SORT_EVERY_MS)) order();
}

/** @param {string} id */
function add(id) {
  const line = make("tr");
  for (const [index, column] of COLUMNS.entries()) {
    line.append(index === 0 ? heading(id) : make("td", column.isText ? "text state" : ""));
  }
  tint(line, id);
  line.addEventListener("pointerenter", () => choose(id));
  line.addEventListener("pointerleave", () => choose(undefined));
  lines.set(id, line);
  return line;
}

/** The name of a node, which opens its details, and shows it on the ring. @param {string} id */
function heading(id) {
  const cell = make("th");
  cell.scope = "row";
  const button = make("button", "", id);
  button.type = "button";
  button.setAttribute("aria-haspopup", "dialog");
  button.addEventListener("click", () => {
    const row = rows.find(({ member }) => member.id === id);
    if (row) details.open(row);
  });
  button.addEventListener("focus", () => choose(id));
  button.addEventListener("blur", () => choose(undefined));
  cell.append(button);
  return cell;
}

/** @param {HTMLTableRowElement} line @param {Row} row */
function fill(line, row) {
  line.dataset.state = row.state;
  line.dataset.stale = String(row.member.stale);
  COLUMNS.forEach((column, index) => {
    const cell = line.cells[index];
    // The first has its button.
    if (cell && index > 0) write(cell, column.text(row));
  });
}

function order() {
  sortedAt = performance.now();
  const { value } = COLUMNS[sorted.column] ?? COLUMNS[0] ?? { value: () => 0 };
  const direction = sorted.isDown ? -1 : 1;
  const inOrder = [...rows].sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    const byId = a.member.id.localeCompare(b.member.id, "en", { numeric: true });
    if (typeof left === "string" && typeof right === "string") {
      return direction * left.localeCompare(right, "en", { numeric: true }) || byId;
    }
    return direction * (Number(left ?? -1) - Number(right ?? -1)) || byId;
  });
  const body = byId("members");
  inOrder.forEach(({ member }, index) => {
    const line = lines.get(member.id);
    if (line && body.children[index] !== line) body.insertBefore(line, body.children[index] ?? null);
  });
}
