// The page: what the cluster looks like, and one or two users of it.

import { Client } from "/client.js";

const POLL_MS = 500;
const PRESENCE_MS = 2000;
/** Of older lines nothing is kept. */
const LINES_MAX = 200;
/** Degrees on the colour wheel; neighbours on the list are easy to tell apart. */
const HUES = [212, 24, 152, 282, 340, 90, 188, 48, 255, 5, 125, 310, 230, 70, 170, 0];

const byId = (id) => document.getElementById(id);
const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);

let nodes = []; // [{id, url, state, …}], as /api/nodes has them
const panes = [];

function tint(element, id) {
  const index = nodes.findIndex((node) => node.id === id);
  element.classList.toggle("untinted", index < 0);
  if (index >= 0) element.style.setProperty("--hue", HUES[index % HUES.length]);
}

/** Sets a text only where it changes, so that screen readers and selections are left in peace. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function notice(text) {
  write(byId("notice"), text);
  byId("notice").hidden = !text;
}

// The cluster

async function poll() {
  try {
    const [listed, seen] = await Promise.all([fetch("/api/nodes"), fetch("/api/cluster")]);
    nodes = await listed.json();
    const cluster = seen.ok ? await seen.json() : { members: [] };
    drawCluster(cluster);
    notice(cluster.members.length ? "" : "No node is running: start one.");
  } catch {
    notice("The demonstration has ended: start it again with “ringpost demo”.");
  }
  setTimeout(poll, POLL_MS);
}

function drawCluster(cluster) {
  const members = new Map(cluster.members.map((member) => [member.id, member]));
  const cards = byId("nodes");
  nodes.forEach((node, index) => {
    const member = members.size > 0 ? members.get(node.id) : null;
    drawCard(cards.children[index] ?? addCard(cards, node), node, member);
  });
  drawRing(members);
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
  const can = { stop: node.state === "running", kill: node.state !== "stopped", start: node.state === "stopped" };
  for (const button of card.querySelectorAll("button")) {
    // Not `disabled`: a button that is must give up the keyboard's focus.
    button.setAttribute("aria-disabled", String(!can[button.dataset.order]));
  }
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

function drawRing(members) {
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
  drawMarks(marks, middles);
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
function drawMarks(marks, middles) {
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

// The users

class Pane {
  #root = byId("pane-template").content.firstElementChild.cloneNode(true);
  #client = null;
  #bubbles = new Map();

  constructor(user, to, alone) {
    const who = this.#find(".who");
    who.elements.user.value = user;
    who.elements.to.value = to;
    this.#find(".alone").hidden = alone;
    who.addEventListener("submit", (event) => {
      event.preventDefault();
      this.connect();
    });
    who.addEventListener("change", (event) => {
      if (event.target.name === "user" && who.reportValidity()) this.connect();
      else this.#label();
    });
    this.#find(".write").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send(event.target.elements.text);
    });
    setInterval(() => this.#client?.node && this.#client.askPresence([this.#to]), PRESENCE_MS);
    this.#label();
    byId("panes").append(this.#root);
  }

  get user() {
    return this.#find(".who").elements.user.value.trim();
  }

  get #to() {
    return this.#find(".who").elements.to.value.trim();
  }

  get node() {
    return this.#client?.node ?? null;
  }

  #find(selector) {
    return this.#root.querySelector(selector);
  }

  connect() {
    this.#client?.close();
    this.#label();
    this.#showNode(null);
    const user = this.user;
    const client = new Client(user, () => nodes, {
      log: (text, kind) => this.#log(text, kind),
      state: (node) => {
        this.#showNode(node);
        if (node) client.askPresence([this.#to]);
      },
      receipt: (id, receipt) => this.#receipt(id, receipt),
      message: (message) => this.#message(message),
      presence: (online) => this.#showPresence(online),
      latency: (ms) => write(this.#find(".latency"), `answers in ${milliseconds(ms)}`),
    });
    this.#client = client;
    client.connect(this.#find(".who").elements.first.value);
  }

  listNodes() {
    const select = this.#find("select");
    for (const { id } of nodes) select.add(new Option(id, id));
  }

  #label() {
    const [user, to] = [this.user, this.#to];
    this.#root.setAttribute("aria-label", `User ${user}`);
    write(this.#find("h2"), user);
    this.#find(".messages").setAttribute("aria-label", `Messages of ${user}`);
    this.#find(".write input").setAttribute("aria-label", `Message from ${user} to ${to}`);
    this.#find(".alone").href = `/?${new URLSearchParams({ user, to })}`;
    this.#showPresence({});
  }

  #showNode(node) {
    const here = this.#find(".here");
    write(here, node ? `on ${node}` : "connecting…");
    tint(here, node);
    if (!node) {
      write(this.#find(".latency"), "");
      this.#showPresence({});
    }
  }

  #showPresence(online) {
    const state = online[this.#to];
    this.#find(".peer").dataset.online = String(state ?? "unknown");
    const word = state === undefined ? "not known yet" : state ? "online" : "offline";
    write(this.#find(".peer-text"), `${this.#to} is ${word}`);
  }

  #send(input) {
    const text = input.value.trim();
    if (!text || !this.#client) return;
    const to = this.#to;
    const id = this.#client.send(to, { text, at: now() });
    this.#bubbles.set(id, this.#bubble("mine", text, `to ${to} · on its way`));
    input.value = "";
  }

  #receipt(id, { status, error, ms }) {
    const bubble = this.#bubbles.get(id);
    if (!bubble) return;
    this.#bubbles.delete(id);
    const note = bubble.querySelector(".note");
    const to = note.textContent.split(" · ")[0];
    const took = ms === undefined ? "" : ` · ${milliseconds(ms)}`;
    write(note, status === "failed" ? `${to} · not sent: ${error.code} (${error.message})` : `${to} · ${status}${took}`);
    bubble.classList.add(status === "failed" ? "failed" : "sent");
  }

  #message({ from, body, ts }) {
    const text = typeof body?.text === "string" ? body.text : JSON.stringify(body);
    // The demonstration's own messages carry a finer clock of the same machine.
    const took = now() - (typeof body?.at === "number" ? body.at : ts);
    this.#bubble("theirs", text, `from ${from} · ${milliseconds(Math.max(0, took))}`);
  }

  #bubble(whose, text, note) {
    const item = document.createElement("li");
    item.className = `bubble ${whose}`;
    const [body, small] = [document.createElement("span"), document.createElement("small")];
    body.textContent = text;
    small.textContent = note;
    small.className = "note";
    item.append(body, small);
    append(this.#find(".messages"), item);
    return item;
  }

  #log(text, kind) {
    const item = document.createElement("li");
    item.className = kind;
    const time = document.createElement("time");
    time.textContent = new Date().toTimeString().slice(0, 8);
    const said = document.createElement("span");
    said.textContent = text;
    item.append(time, said);
    append(this.#find(".log"), item);
  }
}

function append(list, item) {
  list.append(item);
  while (list.children.length > LINES_MAX) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
}

/** Milliseconds since the Unix epoch, with what fraction the browser gives. */
function now() {
  return performance.timeOrigin + performance.now();
}

function milliseconds(ms) {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** `?user=alice&to=bob`, or the same after `#`, is one user; without it there are two. */
function usersOfAddress() {
  const { search, hash } = location;
  const asked = new URLSearchParams(search.length > 1 ? search : hash.slice(1));
  const user = asked.get("user");
  if (!user) return [["alice", "bob"], ["bob", "alice"]];
  return [[user, asked.get("to") || (user === "bob" ? "alice" : "bob")]];
}

const users = usersOfAddress();
for (const [user, to] of users) panes.push(new Pane(user, to, users.length === 1));
if (users.length === 1) document.title = `${users[0][0]} – Ringpost demo`;
addEventListener("hashchange", () => location.reload());
await poll();
for (const pane of panes) {
  pane.listNodes();
  pane.connect();
}
