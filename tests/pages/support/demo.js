// A running demonstration, and a browser that shows its page.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { Browser } from "../../../clients/js/test/support/chromium.js";
import { binary } from "../../../clients/js/test/support/platform.js";
import { until, within } from "../../../clients/js/test/support/wait.js";

/** Where pictures go. @param {string} name */
export const artefact = (name) => fileURLToPath(new URL(`../../artefacts/${name}.png`, import.meta.url));

const pane = (user) => `[data-user=${user}]`;
const card = (id) => `#nodes li:nth-child(${id.slice(1)})`;

export class Demo extends Browser {
  #child;
  url = "";

  static async open(nodes = 3) {
    const demo = new Demo();
    try {
      await demo.#open(nodes);
    } catch (error) {
      await demo.stop();
      throw error;
    }
    return demo;
  }

  /** @param {number} nodes */
  async #open(nodes) {
    const flags = ["--nodes", String(nodes), "--listen", "127.0.0.1:0"];
    this.#child = spawn(binary, ["demo", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
    const opened = new Promise((resolve, reject) => {
      createInterface({ input: this.#child.stdout }).on("line", (line) => {
        const url = /^Open (\S+)/.exec(line)?.[1];
        if (url) resolve(url);
      });
      this.#child.once("exit", () => reject(new Error("the demonstration has ended")));
    });
    this.url = await within("the demonstration", opened);
    await this.start(this.url);
    await this.appear({ width: 1280 });
    await this.areOnline("alice", "bob");
    const onRing = `document.querySelectorAll("#stands .stand:not(.gone)").length`;
    await this.until("all nodes share the ring", `${onRing} === ${nodes}`);
    // Who came before that may have to move.
    for (const user of ["alice", "bob"]) await this.isHome(user);
  }

  /** @param {string} selector */
  text(selector) {
    return this.run(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ""`);
  }

  /** What stands in all such elements. @param {string} selector @returns {Promise<string[]>} */
  texts(selector) {
    return this.run(`[...document.querySelectorAll(${JSON.stringify(selector)})].map(({ textContent }) => textContent)`);
  }

  /** Everybody is at a node, and sees the others in the lobby. @param {string[]} users */
  async areOnline(...users) {
    for (const user of users) {
      await until(`${user} sees ${users}`, async () => {
        const here = await this.text(`${pane(user)} .here`);
        const online = await this.text(`${pane(user)} .online`);
        return here.startsWith("on n") && online.endsWith(users.toSorted().join(", "));
      });
    }
  }

  /** Waits until a user is at its owner, as the page knows that. @param {string} user */
  async isHome(user) {
    await until(`${user} is at home`, async () => (await this.text(`${pane(user)} .here`)).endsWith(", the owner"));
  }

  /** @param {string} user */
  async nodeOf(user) {
    return /^on (n\d)/.exec(await this.text(`${pane(user)} .here`))?.[1];
  }

  /** Writes as a person does, to whoever is chosen. @param {string} user @param {string} text */
  async write(user, text) {
    await this.click(`${pane(user)} [name=text]`);
    await this.type(text);
    await this.press("Enter");
  }

  /** @param {string} user @param {string} to */
  choose(user, to) {
    return this.run(`document.querySelector("${pane(user)} [name=to]").value = "${to}"`);
  }

  /** What a user reads below a message that has come; waits for it. @param {string} user @param {string} text */
  way(user, text) {
    return this.until(`${user} has “${text}”`, `[...document.querySelectorAll("${pane(user)} .theirs")]
      .find((bubble) => bubble.querySelector(".text").textContent === ${JSON.stringify(text)})?.querySelector(".note").textContent`);
  }

  /** @param {string} user @param {string} event */
  async sees(user, event) {
    await until(`${user} sees “${event}”`, async () => (await this.texts(`${pane(user)} .event`)).includes(event));
  }

  /** @param {string} id @param {"stop" | "kill" | "start"} what */
  order(id, what) {
    return this.click(`${card(id)} [data-order=${what}]`);
  }

  /** Waits until a node is in that state, and the others know. @param {string} id @param {string} state */
  async isNow(id, state) {
    await until(`${id} is ${state}`, async () => (await this.text(`${card(id)} .badge`)) === state);
    const share = await this.text(`${card(id)} .node-share`);
    return Number(share.split(" ")[0]);
  }

  /** Waits until nothing could be lost with one more node. */
  async allCopiesMade() {
    const areMade = async () => (await this.texts(".node-copies")).every((copies) => ["all made", "–"].includes(copies));
    await until("all copies are made", areMade);
  }

  /** @returns {Promise<Record<string, number>>} */
  async counts() {
    const names = ["sent", "received", "under-way", "refused", "lost", "twice", "disordered"];
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, Number(await this.text(`#count-${name}`))])));
  }

  /** Waits for so many more messages. @param {number} more */
  async traffic(more) {
    const { received } = await this.counts();
    await until(`${more} messages more`, async () => (await this.counts()).received >= received + more);
  }

  async stop() {
    await super.stop();
    if (!this.#child || (this.#child.exitCode ?? this.#child.signalCode) !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    try {
      await within("the demonstration ends", ended);
    } finally {
      this.#child.kill("SIGKILL");
    }
  }
}
