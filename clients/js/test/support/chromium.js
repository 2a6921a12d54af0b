// Headless Chromium, driven over its DevTools protocol.

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

import { chromium, WebSocket } from "./platform.js";
import { START_MS, until, within } from "./wait.js";

const FLAGS = [
  ...["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"],
  // In containers the shared memory is too small for pictures.
  "--disable-dev-shm-usage",
];

/** @typedef {{code?: string, text?: string, windowsVirtualKeyCode: number}} Key */
/** Keys that have no text, or another one than their name. @type {Record<string, Key>} */
const KEYS = {
  Enter: { text: "\r", windowsVirtualKeyCode: 13 },
  Tab: { windowsVirtualKeyCode: 9 },
  " ": { code: "Space", text: " ", windowsVirtualKeyCode: 32 },
  ArrowDown: { windowsVirtualKeyCode: 40 },
};

/** A browser with one page. */
export class Browser {
  #process;
  #profile;
  #socket;
  #session;
  #calls = 0;
  #waiting = new Map();
  /** Exceptions, violations of the page's policy, errors that it logs. @type {string[]} */
  errors = [];
  /** Requests and connections that failed. @type {string[]} */
  failures = [];

  /** Starts it, and loads a page; nothing is left running if that fails. @param {string} url */
  async start(url) {
    try {
      await this.#load(url);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** @param {string} url */
  async #load(url) {
    this.#profile = await mkdtemp(join(tmpdir(), "ringpost-browser-"));
    const flags = [...FLAGS, `--user-data-dir=${this.#profile}`, "about:blank"];
    this.#process = spawn(chromium, flags, { stdio: ["ignore", "ignore", "pipe"] });
    const lines = createInterface({ input: this.#process.stderr });
    const listening = new Promise((resolve) => {
      lines.on("line", (line) => {
        const url = /^DevTools listening on (\S+)/.exec(line)?.[1];
        if (url) resolve(url);
      });
    });
    this.#socket = new WebSocket(await within("the browser", listening, START_MS));
    this.#socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    const opened = new Promise((resolve, reject) => {
      this.#socket.onopen = resolve;
      this.#socket.onerror = () => reject(new Error("no connection to the browser"));
    });
    await within("a connection to the browser", opened);
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank" });
    this.#session = (await this.call("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Log"]) await this.call(`${domain}.enable`);
    await this.call("Page.navigate", { url });
  }

  #hear({ id, result, error, method, params }) {
    if (method) return this.#note(method, params);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result);
  }

  #note(method, params) {
    if (method === "Runtime.exceptionThrown") {
      const { text, exception } = params.exceptionDetails;
      this.errors.push(exception?.description ?? text);
    } else if (method === "Runtime.consoleAPICalled" && ["error", "assert"].includes(params.type)) {
      this.errors.push(params.args.map(({ value, description }) => value ?? description).join(" "));
    } else if (method === "Log.entryAdded" && params.entry.level === "error") {
      const { source, text, url } = params.entry;
      const isNetwork = source === "network" || /^WebSocket connection to \S+ failed/.test(text);
      (isNetwork ? this.failures : this.errors).push(`${text} ${url ?? ""}`);
    }
  }

  /** A command of the DevTools protocol. @param {string} method @param {object} [params] */
  call(method, params = {}) {
    const id = (this.#calls += 1);
    const reply = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.send(JSON.stringify({ id, method, params, sessionId: this.#session }));
    return within(method, reply);
  }

  /** What an expression of the page comes to. @param {string} expression */
  async run(expression) {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", options);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until an expression comes to something true, and returns that. @param {string} what @param {string} expression */
  until(what, expression, patienceMs = undefined) {
    return until(what, () => this.run(expression), patienceMs);
  }

  /** Clicks into the middle of an element, as a mouse does. @param {string} selector */
  async click(selector) {
    const at = await this.run(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center", behavior: "instant" });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    })()`);
    const button = { ...at, button: "left", clickCount: 1 };
    await this.call("Input.dispatchMouseEvent", { type: "mousePressed", ...button });
    await this.call("Input.dispatchMouseEvent", { type: "mouseReleased", ...button });
  }

  /** Types into whatever has the focus. @param {string} text */
  type(text) {
    return this.call("Input.insertText", { text });
  }

  /** @param {string} key */
  async press(key, { shift = false } = {}) {
    const event = { key, code: key, ...KEYS[key], modifiers: shift ? 8 : 0 };
    await this.call("Input.dispatchKeyEvent", { type: event.text ? "keyDown" : "rawKeyDown", ...event });
    await this.call("Input.dispatchKeyEvent", { type: "keyUp", ...event, text: undefined });
  }

  /** The page as on a screen of this size. @param {{width: number, height?: number, dark?: boolean, phone?: boolean}} how */
  async appear({ width, height = 900, dark = false, phone = false }) {
    const screen = { width, height, deviceScaleFactor: phone ? 2 : 1, mobile: phone };
    await this.call("Emulation.setDeviceMetricsOverride", screen);
    const scheme = { name: "prefers-color-scheme", value: dark ? "dark" : "light" };
    await this.call("Emulation.setEmulatedMedia", { features: [scheme] });
  }

  /** Writes a picture of the page, of all of it or of what the screen shows. @param {string} path */
  async picture(path, { whole = true } = {}) {
    const { data } = await this.call("Page.captureScreenshot", { format: "png", captureBeyondViewport: whole });
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, Buffer.from(data, "base64"));
  }

  async stop() {
    this.#socket?.close();
    if (!this.#process) return;
    this.#process.kill("SIGKILL");
    const hasEnded = (this.#process.exitCode ?? this.#process.signalCode) !== null;
    if (!hasEnded) await new Promise((resolve) => this.#process.once("exit", resolve));
    // Its other processes notice a moment later, and write there until then.
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 20 });
  }
}
