// One user of the cluster: where it is, who else is in the lobby, and its messages.

import { connect } from "/ringpost/index.js";
import { addresses, LOBBY, ownerOf } from "./cluster.js";
import { byId, copyOf, duration, element, find, now, say, tint, write } from "./dom.js";
import { takeTraffic } from "./traffic.js";
import { chips, drawWay, startFrom } from "./way.js";

/** @typedef {import("../../../clients/js/index.d.ts").Client} Client */

/** Of older lines nothing is kept. */
const LINES_MAX = 200;
/** A user in a browser is back sooner than one whose phone sleeps. */
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 3000;
/** Users that are named as online; more are counted. */
const NAMES_MAX = 12;
/** Why a node sends a user on. @type {Record<string, string>} */
const WHY = { drain: "its node is stopping", moved: "the ring has changed", not_owner: "another node owns it" };

export class Pane {
  user;
  /** None while the user is away, or not yet back. @type {Client | undefined} */
  client;
  /** When it was welcomed last, while it is there. @type {number | undefined} */
  since;
  #root = copyOf("pane-template");
  /** Where it was last. @type {string | undefined} */
  #lastNode;
  /** @type {import("../../../clients/js/index.d.ts").Position | undefined} */
  #position;
  /** Over when the connection that the user left has all its receipts. @type {Promise<void> | undefined} */
  #closing;
  /** Whether the user wants to be there. */
  #isHere = false;
  /** In the lobby. @type {string[]} */
  #online = [];
  #others;

  /** @param {string} user @param {() => string[]} others whom one can write to */
  constructor(user, others) {
    this.user = user;
    this.#others = others;
    this.#root.setAttribute("aria-label", `User ${user}`);
    this.#root.dataset.user = user;
    write(this.#find("h3"), user);
    this.#find(".messages").setAttribute("aria-label", `Messages of ${user}`);
    this.#find("[name=to]").setAttribute("aria-label", `${user} writes to`);
    this.#find("[name=text]").setAttribute("aria-label", `Message from ${user}`);
    this.#find(".write").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this.#send();
    });
    this.#find(".away").addEventListener("click", () => (this.#isHere ? this.#leave() : this.come()));
    byId("panes").append(this.#root);
    this.listOthers();
  }

  get node() {
    return this.client?.node;
  }

  /** @param {string} selector */
  #find(selector) {
    return find(this.#root, selector);
  }

  /**
   * Connects, from where the user was when it went. Not before that is certain: what was handed over could come
   * again, and what still waits for its receipt behind what is sent next.
   */
  async come() {
    this.#isHere = true;
    this.#draw();
    await this.#closing;
    if (this.#isHere && !this.client) this.#connect();
  }

  #connect() {
    const client = connect({
      url: addresses(),
      user: this.user,
      resume: this.#position,
      backoffFirstMs: BACKOFF_FIRST_MS,
      backoffMaxMs: BACKOFF_MAX_MS,
    });
    this.client = client;
    client.on("message", (message) => this.#message(message));
    client.on("state", (state) => this.#state(state));
    client.on("redirect", ({ reason }) => this.#redirect(reason));
    client.on("joined", ({ user }) => this.#log(`${user} joined the lobby`));
    client.on("left", ({ user }) => this.#log(`${user} left the lobby`));
    client.on("presence_change", () => this.#askWhoIsThere(client));
    client.on("delivered", ({ id }) => this.#delivered(id));
    client.on("gap", ({ stream }) => this.#log(`messages of ${stream} may be missing`, "bad"));
    const lobby = async () => {
      await client.join(LOBBY);
      await client.subscribe({ room: LOBBY });
      await this.#askWhoIsThere(client);
    };
    lobby().catch((error) => this.client === client && this.#log(`cannot be in the lobby: ${error.message}`, "bad"));
    this.#draw();
  }

  #leave() {
    this.#isHere = false;
    const client = this.client;
    if (client) {
      this.client = this.since = undefined;
      this.#online = [];
      this.#log(`${this.user} went away; messages to ${this.user} are kept`);
      this.#closing = client.close().then(() => {
        this.#position = client.position;
      });
    }
    this.#draw();
  }

  close() {
    this.client?.close();
  }

  /** Whom one can write to. */
  listOthers() {
    const select = this.#find("[name=to]");
    const all = [LOBBY, ...this.#others().filter((other) => other !== this.user)];
    for (const name of all.slice(select.options.length)) select.add(new Option(name === LOBBY ? `#${name}` : name, name));
  }

  /** The next message goes there. @param {string} to */
  writeTo(to) {
    this.#find("[name=to]").value = to;
  }

  /** Draws what depends on the ring. */
  draw() {
    const [node, owner] = [this.node, ownerOf(this.user)];
    const where = node === owner ? `on ${node}, the owner` : `on ${node}, a guest`;
    write(this.#find(".here"), !this.#isHere ? "away" : node ? where : "connecting…");
    tint(this.#find(".here"), node);
  }

  #draw() {
    this.draw();
    write(this.#find(".away"), this.#isHere ? "Go away" : "Come back");
    const names = this.#online.slice(0, NAMES_MAX).join(", ");
    const more = this.#online.length > NAMES_MAX ? `, and ${this.#online.length - NAMES_MAX} more` : "";
    write(this.#find(".online"), names ? `in the lobby: ${names}${more}` : "");
  }

  /** @param {import("../../../clients/js/index.d.ts").State} state */
  #state({ state, node, error, recovered }) {
    this.since = state === "connected" ? now() : undefined;
    if (state === "connected") {
      const moved = this.#lastNode && this.#lastNode !== node;
      const from = moved ? [...chips([this.#lastNode]), " → "] : [];
      this.#log(moved ? "moved " : this.#lastNode ? "back on " : "on ", "move", ...from, ...chips([node]));
      if (recovered === false) this.#log("what came meanwhile cannot be told, or is gone", "bad");
      this.#lastNode = node;
    } else if (state === "connecting" && error && this.#lastNode) {
      if (!this.#root.classList.contains("lost")) this.#log(`lost ${this.#lastNode}, looking for another node`, "bad");
    } else if (state === "closed" && error) {
      this.#log(`refused: ${error.message}`, "bad");
    }
    this.#root.classList.toggle("lost", state !== "connected");
    this.#draw();
  }

  /** @param {string} reason */
  #redirect(reason) {
    this.#log(`sent on: ${WHY[reason] ?? reason}`);
  }

  /** @param {Client} client */
  async #askWhoIsThere(client) {
    const page = await client.presence({ room: LOBBY }).catch(() => undefined);
    if (!page || client !== this.client) return;
    this.#online = page.users;
    this.#draw();
  }

  #send() {
    const input = this.#find("[name=text]");
    const text = input.value.trim();
    if (!text || !this.client) return;
    const to = this.#find("[name=to]").value;
    const id = crypto.randomUUID();
    const inLobby = to === LOBBY;
    const start = startFrom(this.node);
    const bubble = this.#bubble("mine", `to ${inLobby ? "#" : ""}${to}`, text);
    bubble.dataset.id = id;
    const note = find(bubble, ".note");
    const receipt = note.appendChild(element("span", { text: "on its way" }));
    const options = { id, notify: !inLobby, echo: false };
    this.client.send(inLobby ? { room: to } : { user: to }, { text, ...start }, options).then(
      ({ copies }) => {
        write(receipt, `accepted, ${copies === 1 ? "1 copy" : `${copies} copies`}, ${duration(now() - start.at)}`);
      },
      (error) => {
        write(receipt, `not accepted: ${error.message}`);
        bubble.classList.add("failed");
      },
    );
    input.value = "";
  }

  /** @param {string} id */
  #delivered(id) {
    const note = this.#root.querySelector(`[data-id="${CSS.escape(id)}"] .note`);
    note?.append(" · has arrived");
  }

  /** @param {import("../../../clients/js/index.d.ts").Message} message */
  #message(message) {
    if (takeTraffic(message, this.user)) return;
    const { from, body, stream } = message;
    const inLobby = stream !== "inbox";
    const text = typeof body?.text === "string" ? body.text : JSON.stringify(body);
    const bubble = this.#bubble("theirs", `${from}${inLobby ? ` in #${LOBBY}` : ""}`, text);
    const target = inLobby ? LOBBY : this.user;
    if (typeof body?.at === "number") this.#showWay(bubble, drawWay(body, target, this.node));
    say(`${from} to ${inLobby ? "the lobby" : this.user}: ${text}`);
  }

  /** @param {Element} bubble @param {Promise<Element>} way */
  async #showWay(bubble, way) {
    find(bubble, ".note").append(await way);
    const list = this.#find(".messages");
    if (bubble === list.lastElementChild) list.scrollTop = list.scrollHeight;
  }

  /** @param {string} whose @param {string} head @param {string} text */
  #bubble(whose, head, text) {
    const bubble = element("li", { class: `bubble ${whose}` });
    bubble.append(element("small", { class: "head", text: head }));
    bubble.append(element("span", { class: "text", text }), element("small", { class: "note" }));
    this.#append(bubble);
    return bubble;
  }

  /** @param {string} text @param {string} [kind] @param {(Node | string)[]} more */
  #log(text, kind = "", ...more) {
    this.#append(element("li", { class: `event ${kind}` }, text, ...more));
  }

  /** @param {Element} item */
  #append(item) {
    const list = this.#find(".messages");
    list.append(item);
    while (list.children.length > LINES_MAX) list.firstElementChild.remove();
    list.scrollTop = list.scrollHeight;
  }
}
