// Headless Chromium, and a page that has the client.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { chromium, WebSocket } from "./platform.js";
import { within } from "./wait.js";

const SOURCES = new URL("../../src/", import.meta.url);

const PAGE = `<!doctype html><title>ringpost</title><script type="module" src="/page.js"></script>`;

/** What tests call: clients by name, and all that they hear. */
const SCRIPT = `
import { connect } from "/src/index.js";
window.clients = {};
window.open_ = async (name, options) => {
  if (options.withoutLocate) options.fetch = () => Promise.reject(new TypeError("none"));
  const client = connect({ backoffFirstMs: 200, backoffMaxMs: 1000, ...options });
  const heard = { bodies: [], states: [], redirects: [] };
  clients[name] = { client, heard };
  client.on("message", ({ body }) => heard.bodies.push(body));
  client.on("state", ({ state, error }) => heard.states.push([state, error?.code ?? null]));
  client.on("redirect", ({ reason }) => heard.redirects.push(reason));
  await client.ready;
  return client.node;
};
window.isReady = true;
`;

/** Nothing but the page's own scripts, and connections to nodes. */
const POLICY = "default-src 'none'; script-src 'self'; connect-src http://127.0.0.1:* ws://127.0.0.1:*";

async function serve() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    response.setHeader("Content-Security-Policy", POLICY);
    response.setHeader("Content-Type", pathname.endsWith(".js") ? "text/javascript" : "text/html");
    if (pathname === "/") return response.end(PAGE);
    if (pathname === "/page.js") return response.end(SCRIPT);
    const source = /^\/src\/([a-z]+\.js)$/.exec(pathname)?.[1];
    if (source) return response.end(await readFile(new URL(source, SOURCES)));
    response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

export class Page {
  #server;
  #process;
  #profile;
  #socket;
  #session;
  #calls = 0;
  #waiting = new Map();

  /** Starts a browser and loads the page. */
  static async open() {
    const page = new Page();
    page.#server = await serve();
    page.#profile = await mkdtemp(join(tmpdir(), "ringpost-browser-"));
    const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"];
    flags.push("--no-first-run", `--user-data-dir=${page.#profile}`, "about:blank");
    page.#process = spawn(chromium, flags, { stdio: ["ignore", "ignore", "pipe"] });
    const lines = createInterface({ input: page.#process.stderr });
    const listening = new Promise((resolve) => {
      lines.on("line", (line) => {
        const url = /^DevTools listening on (\S+)/.exec(line)?.[1];
        if (url) resolve(url);
      });
    });
    page.#socket = new WebSocket(await within("the browser", listening));
    page.#socket.onmessage = ({ data }) => page.#hear(JSON.parse(data));
    await new Promise((resolve) => (page.#socket.onopen = resolve));
    const { targetId } = await page.#call("Target.createTarget", { url: `http://127.0.0.1:${page.#server.address().port}/` });
    page.#session = (await page.#call("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    while (!(await page.run("window.isReady"))) await new Promise((resolve) => setTimeout(resolve, 10));
    return page;
  }

  #hear({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result);
  }

  #call(method, params) {
    const id = (this.#calls += 1);
    const reply = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.send(JSON.stringify({ id, method, params, sessionId: this.#session }));
    return within(method, reply);
  }

  /** What an expression of the page comes to. */
  async run(expression) {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.#call("Runtime.evaluate", options);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Opens a client in the page; returns its node. */
  connect(name, options) {
    return this.run(`open_(${JSON.stringify(name)}, ${JSON.stringify(options)})`);
  }

  heard(name) {
    return this.run(`clients[${JSON.stringify(name)}].heard`);
  }

  async stop() {
    this.#socket?.close();
    this.#process.kill("SIGKILL");
    await new Promise((resolve) => (this.#process.exitCode ?? this.#process.signalCode ? resolve() : this.#process.once("exit", resolve)));
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
