// One user of the cluster: who it is, where it is, its messages and what happened.

import { Client } from "/client.js";
import { byId, nodes, tint, write } from "/cluster.js";

const PRESENCE_MS = 2000;
/** Users in one question; nodes refuse more than 256. */
const PRESENCE_USERS_MAX = 100;
/** Of older lines nothing is kept. */
const LINES_MAX = 200;

export class Pane {
  #root = byId("pane-template").content.firstElementChild.cloneNode(true);
  #client = null;
  #waiting = new Map(); // by id, {to, bubble, receipt} of what its user has not acked
  #online = {};

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
    setInterval(() => this.#askPresence(), PRESENCE_MS);
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

  /** Connects anew: as the same user from where it was, as another one from what is not acked. */
  connect() {
    const first = this.#find(".who").elements.first.value;
    this.#label();
    if (this.#client?.user === this.user) return this.#client.reconnect(first);
    this.close();
    this.#showNode(null);
    this.#client = new Client(this.user, () => nodes, {
      log: (text, kind) => this.#log(text, kind),
      state: (node) => {
        this.#showNode(node);
        this.#askPresence();
      },
      receipt: (id, receipt) => this.#receipt(id, receipt),
      delivered: (id) => this.#delivered(id),
      message: (message) => this.#message(message),
      presence: (online) => this.#showPresence(online),
      latency: (ms) => write(this.#find(".latency"), `answers in ${milliseconds(ms)}`),
    });
    this.#client.connect(first);
  }

  close() {
    this.#client?.close();
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

  #askPresence() {
    const users = new Set([this.#to]);
    for (const { to } of this.#waiting.values()) users.add(to);
    if (this.#client?.node) this.#client.askPresence([...users].slice(0, PRESENCE_USERS_MAX));
  }

  #showPresence(online) {
    this.#online = online;
    for (const sent of this.#waiting.values()) this.#note(sent);
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
    const sent = { to, bubble: this.#bubble("mine", text, ""), receipt: null, delivered: false };
    this.#waiting.set(id, sent);
    // Whose bubble is gone, or nearly so, is not followed any more.
    if (this.#waiting.size > LINES_MAX) this.#waiting.delete(this.#waiting.keys().next().value);
    this.#note(sent);
    input.value = "";
  }

  #receipt(id, receipt) {
    const sent = this.#waiting.get(id);
    if (!sent) return;
    sent.receipt = receipt;
    const failed = receipt.status === "failed";
    sent.bubble.classList.add(failed ? "failed" : "sent");
    this.#note(sent);
    if (failed || sent.delivered) this.#waiting.delete(id);
  }

  #delivered(id) {
    const sent = this.#waiting.get(id);
    if (!sent) return;
    sent.delivered = true;
    this.#note(sent);
    // Where the receipt was lost with a connection, that of the repeat is still to come.
    if (sent.receipt) this.#waiting.delete(id);
  }

  /** What is known of a message that was sent. */
  #note({ to, bubble, receipt, delivered }) {
    const words = [`to ${to}`];
    if (!receipt) {
      words.push("on its way");
    } else if (receipt.status === "failed") {
      words.push(`not accepted: ${receipt.error.code} (${receipt.error.message})`);
    } else {
      words.push(`accepted, ${receipt.copies === 1 ? "1 copy" : `${receipt.copies} copies`}`);
      words.push(milliseconds(receipt.ms));
      if (delivered) words.push(`${to} has it`);
      else if (this.#online[to] === false) words.push(`kept until ${to} comes`);
    }
    write(bubble.querySelector(".note"), words.join(" · "));
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
