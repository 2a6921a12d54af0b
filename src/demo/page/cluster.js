// What the cluster looks like: a card for each node, and the ring.

const POLL_MS = 500;
/** Degrees on the colour wheel; neighbours on the list are easy to tell apart. */
const HUES = [212, 24, 152, 282, 340, 90, 188, 48, 255, 5, 125, 310, 230, 70, 170, 0];

export const byId = (id) => document.getElementById(id);
const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);

export let nodes = []; // [{id, url, state, …}], as /api/nodes has them

/** Colours an element as the node of that id is coloured. */
export function tint(element, id) {
  const index = nodes.findIndex((node) => node.id === id);
  element.classList.toggle("untinted", index < 0);
  if (index >= 0) element.style.setProperty("--hue", HUES[index % HUES.length]);
}

/** Sets a text only where it changes, so that screen readers and selections are left in peace. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function notice(text) {
  write(byId("notice"), text);
  byId("notice").hidden = !text;
}

/** Draws the cluster again and again; `panes` are the users of this page, at the nodes where they are. */
export async function watch(panes) {
  try {
    const [listed, seen] = await Promise.all([fetch("/api/nodes"), fetch("/api/cluster")]);
    nodes = await listed.json();
    const cluster = seen.ok ? await seen.json() : { members: [] };
    drawCluster(cluster, panes);
    notice(cluster.members.length ? "" : "No node is running: start one.");
  } catch {
    notice("The demonstration has ended: start it again with “ringpost demo”.");
  }
  setTimeout(() => watch(panes), POLL_MS);
}

function drawCluster(cluster, panes) {
  const members = new Map(cluster.members.map((member) => [member.id, member]));
  const cards = byId("nodes");
  nodes.forEach((node, index) => {
    const member = members.size > 0 ? members.get(node.id) : null;
    drawCard(cards.children[index] ?? addCard(cards, node), node, member);
  });
  drawRing(members, panes);
  const digests = new Set(nodes.filter((node) => node.state === "running" && node.digest).map((node) => node.digest));
  write(
    byId("digest"),
    digests.size > 1
      ? `The nodes do not agree about the ring yet (${digests.size} views).`
      : [...digests].map((digest) => `The ring's digest is ${digest}, on every node.`).join(""),
  );
}

function addCard(cards, node) {
  const card = byId("node-template").content.firstElementChild.cloneNode(true);
  write(card.querySelector(".node-id"), node.id);
  tint(card, node.id);
  for (const button of card.querySelectorAll("button")) {
    button.setAttribute("aria-label", `${button.textContent} ${node.id}`);
    button.addEventListener("click", () => order(node.id, button));
  }
  cards.append(card);
  return card;
}

function drawCard(card, node, member) {
  const known = seenAs(member);
  const expected = { running: ["alive"], stopping: ["leaving", "down"], stopped: ["down", "unknown"] };
  const agreed = known === null || expected[node.state].includes(known);
  const state = agreed ? node.state : `${node.state}, seen as ${known}`;
  card.dataset.state = node.state;
  write(card.querySelector(".badge"), state);
  write(card.querySelector(".node-share"), percent(member?.share ?? 0));
  const guests = node.guests ? ` (${node.guests} guests)` : "";
  write(card.querySelector(".node-sessions"), node.sessions === null ? "–" : `${node.sessions}${guests}`);
  write(card.querySelector(".node-at"), new URL(node.url).host);
  write(card.querySelector(".node-copies"), missingCopies(node, member));
  const can = { stop: node.state === "running", kill: node.state !== "stopped", start: node.state === "stopped" };
  for (const button of card.querySelectorAll("button")) {
    // Not `disabled`: a button that is must give up the keyboard's focus.
    button.setAttribute("aria-disabled", String(!can[button.dataset.order]));
  }
}

/** Until this is none, the death of a second node could lose what only the first one has. */
function missingCopies(node, member) {
  if (node.state === "stopped" || !member) return "–";
  return member.under_replicated ? `${member.under_replicated} to make` : "all made";
}

/** A member in a word; null when there is nobody to ask. */
function seenAs(member) {
  if (member === null) return null;
  if (!member) return "unknown";
  return member.draining && member.state !== "down" ? "leaving" : member.state;
}

async function order(id, button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  const asked = await fetch(`/api/nodes/${encodeURIComponent(id)}/${button.dataset.order}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: "{}",
  }).catch(() => null);
  if (asked && !asked.ok) notice(await asked.text());
}

function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}

function drawRing(members, panes) {
  const [arcs, marks] = [byId("arcs"), byId("marks")];
  let start = 0;
  const middles = new Map();
  const words = [];
  nodes.forEach((node, index) => {
    const member = members.get(node.id);
    const share = member?.share ?? 0;
    const arc = arcs.children[index] ?? arcs.appendChild(newArc(node));
    const gap = share > 0 && share < 1 ? 0.6 : 0;
    arc.setAttribute("stroke-dasharray", `${Math.max(0, share * 100 - gap)} 100`);
    arc.setAttribute("stroke-dashoffset", String(-start * 100));
    arc.classList.toggle("gone", share === 0);
    arc.classList.toggle("doubtful", member?.state === "suspect");
    middles.set(node.id, start + share / 2);
    start += share;
    if (share > 0) words.push(`${node.id} ${percent(share)}`);
  });
  write(byId("ring-count"), String(words.length));
  write(byId("ring-unit"), words.length === 1 ? "node" : "nodes");
  byId("ring").setAttribute("aria-label", `Shares of the ring: ${words.join(", ") || "none"}`);
  drawMarks(marks, middles, panes);
}

function newArc(node) {
  const arc = svg("circle");
  for (const [name, value] of Object.entries({ cx: 60, cy: 60, r: 42, pathLength: 100, class: "arc tinted" })) {
    arc.setAttribute(name, value);
  }
  tint(arc, node.id);
  return arc;
}

/** The users of this page, outside the arcs of the nodes that serve them. */
function drawMarks(marks, middles, panes) {
  const rows = new Map();
  panes.forEach((pane, index) => {
    const mark = marks.children[index] ?? marks.appendChild(svg("text"));
    const node = pane.node;
    mark.classList.toggle("nowhere", !middles.has(node));
    write(mark, pane.user.length > 9 ? `${pane.user.slice(0, 8)}…` : pane.user);
    const row = rows.get(node) ?? 0;
    rows.set(node, row + 1);
    const angle = (middles.get(node) ?? 0) * 2 * Math.PI;
    const [x, y] = [Math.sin(angle), -Math.cos(angle)];
    mark.setAttribute("x", String(60 + 53 * x));
    mark.setAttribute("y", String(62 + 53 * y + row * 8 * (y < 0 ? -1 : 1)));
    mark.setAttribute("text-anchor", x > 0.35 ? "start" : x < -0.35 ? "end" : "middle");
  });
}
