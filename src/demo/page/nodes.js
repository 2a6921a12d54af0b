// A card for each node, and what can be done to it.

import { cluster, order } from "./cluster.js";
import { byId, copyOf, enable, find, isEnabled, say, tint, write } from "./dom.js";

/** @typedef {import("./cluster.js").Node} Node */
/** @typedef {import("./cluster.js").Member} Member */

const NODES_MAX = 8;
/** What a card says for a while, because something could not be done. */
const COMPLAINT_MS = 4000;

let complaint = { text: "", until: 0 };

/** How a node is seen by others while it is in some state. @type {Record<string, string[]>} */
const EXPECTED = { running: ["alive"], stopping: ["leaving", "down"], stopped: ["down", "unknown"] };
/** @type {Record<string, string>} */
const DONE = { stop: "is stopping", kill: "was killed", start: "has started again" };

export function drawNodes() {
  const cards = byId("nodes");
  cluster.nodes.forEach((node, index) => drawCard(cards.children[index] ?? addCard(cards, node), node));
  enable(byId("add-node"), cluster.nodes.length < NODES_MAX);
  const running = cluster.nodes.filter(({ state, digest }) => state === "running" && digest);
  const digests = new Set(running.map(({ digest }) => digest));
  const [digest] = digests;
  const agreed = digest ? `The ring's digest is ${digest}, on every node.` : "";
  const split = `The nodes do not agree about the ring yet (${digests.size} views).`;
  write(byId("digest"), digests.size > 1 ? split : agreed);
  drawNotice();
}

export function listenForNodes() {
  const button = byId("add-node");
  button.addEventListener("click", () => have("/api/nodes", button, `n${cluster.nodes.length + 1} joins`));
}

function drawNotice() {
  const complains = performance.now() < complaint.until ? complaint.text : "";
  const none = cluster.members.size ? "" : "No node is running: start one.";
  const ended = "The demonstration has ended: start it again with “ringpost demo”.";
  const text = cluster.answers ? complains || none : ended;
  write(byId("notice"), text);
  byId("notice").hidden = !text;
}

/** @param {Element} cards @param {Node} node */
function addCard(cards, { id }) {
  const card = copyOf("node-template");
  write(find(card, ".node-id"), id);
  tint(card, id);
  for (const button of card.querySelectorAll("button")) {
    const what = String(button.dataset.order);
    button.setAttribute("aria-label", `${button.textContent} ${id}`);
    button.addEventListener("click", () => have(`/api/nodes/${id}/${what}`, button, `${id} ${DONE[what]}`));
  }
  cards.append(card);
  return card;
}

/** @param {any} card @param {Node} node */
function drawCard(card, node) {
  const member = cluster.members.get(node.id);
  const known = cluster.members.size ? seenAs(member) : undefined;
  const agreed = !known || EXPECTED[node.state]?.includes(known);
  card.dataset.state = node.state;
  write(find(card, ".badge"), agreed ? node.state : `${node.state}, seen as ${known}`);
  write(find(card, ".node-share"), percent(member?.share ?? 0));
  const guests = node.guests ? `, ${node.guests} guest${node.guests === 1 ? "" : "s"}` : "";
  write(find(card, ".node-sessions"), node.sessions === null ? "–" : `${node.sessions}${guests}`);
  write(find(card, ".node-copies"), missingCopies(node, member));
  write(find(card, ".node-at"), new URL(node.url).host);
  const can = { stop: node.state === "running", kill: node.state !== "stopped", start: node.state === "stopped" };
  for (const [what, may] of Object.entries(can)) enable(find(card, `[data-order=${what}]`), may);
}

/** Until this is none, the death of a second node could lose what only the first one has. @param {Node} node @param {Member | undefined} member */
function missingCopies(node, member) {
  if (node.state === "stopped" || !member) return "–";
  return member.under_replicated ? `${member.under_replicated} to make` : "all made";
}

/** @param {Member | undefined} member */
function seenAs(member) {
  if (!member) return "unknown";
  return member.draining && member.state !== "down" ? "leaving" : member.state;
}

/** @param {string} path @param {Element} button @param {string} done */
async function have(path, button, done) {
  if (!isEnabled(button)) return;
  enable(button, false);
  const wrong = await order(path);
  if (wrong) complaint = { text: wrong, until: performance.now() + COMPLAINT_MS };
  say(wrong ?? done);
  drawNotice();
}

/** @param {number} share */
export const percent = (share) => `${(share * 100).toFixed(1)} %`;
