// One member in words: what has no column, for those who cannot point at a row, too.

import { byId, make, write } from "./dom.js";
import { age, count, percent } from "./format.js";

/** @typedef {import("./cluster.js").Row} Row */

/** @type {[string, (row: Row) => string][]} */
const LINES = [
  ["State", ({ member, state }) => (member.stale ? `${state}, no numbers` : state)],
  ["Clients at", ({ member }) => member.url],
  ["Peers at", ({ member }) => member.peer],
  ["Weight", ({ member }) => `${count(member.weight)}: ${percent(member.share)} of all users`],
  ["Generation", ({ member }) => String(member.generation)],
  ["Up for", ({ member }) => age(member.stats?.uptime_ms)],
  ["Wait for peers", ({ member }) => count(member.stats?.link_waiting)],
  ["Unanswered by peers", ({ member }) => count(member.stats?.link_unanswered)],
  ["Without an outcome", ({ member }) => count(member.stats?.lanes_waiting)],
  ["Webhook events", ({ member }) => count(member.stats?.webhooks_queued)],
];

/** Who is shown. @type {string | undefined} */
let shown;

const dialog = () => /** @type {HTMLDialogElement} */ (byId("details"));

export function prepare() {
  const lines = LINES.flatMap(([name]) => [make("dt", "", name), make("dd")]);
  byId("details-lines").replaceChildren(...lines);
  byId("details-close").addEventListener("click", () => dialog().close());
  // A click beside it.
  dialog().addEventListener("click", (event) => event.target === dialog() && dialog().close());
  dialog().addEventListener("close", () => (shown = undefined));
}

/** @param {Row} row */
export function open(row) {
  shown = row.member.id;
  write(byId("details-title"), shown);
  fill(row);
  dialog().showModal();
}

/** @param {Row[]} rows */
export function draw(rows) {
  const row = rows.find(({ member }) => member.id === shown);
  if (row) fill(row);
  else if (shown !== undefined) dialog().close();
}

/** @param {Row} row */
function fill(row) {
  const cells = byId("details-lines").querySelectorAll("dd");
  LINES.forEach(([, text], index) => {
    const cell = cells[index];
    if (cell) write(cell, text(row));
  });
}
