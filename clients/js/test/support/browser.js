// A page in a browser that has the client.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

import { Browser } from "./chromium.js";

const SOURCES = new URL("../../src/", import.meta.url);

const PAGE = `<!doctype html><title>ringpost</title><script type="module" src="/page.js"></script>`;

/** What tests call: clients by name, and all that they hear. */
const SCRIPT = `
import { connect } from "/src/index.js";
window.clients = {};
window.open_ = async (name, options) => {
  if (options.withoutLocate) options.fetch = () => Promise.reject(new TypeError("none"));
  const client = connect({ backoffFirstMs: 200, backoffMaxMs: 1000, ...options });
  const heard = { bodies: [], states: [], recovered: [], redirects: [] };
  clients[name] = { client, heard };
  client.on("message", ({ body }) => heard.bodies.push(body));
  client.on("state", ({ state, error }) => heard.states.push([state, error?.code ?? null]));
  client.on("state", ({ recovered }) => heard.recovered.push(recovered ?? null));
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

export class Page extends Browser {
  #server;

  /** Starts a browser and loads the page. */
  static async open() {
    const page = new Page();
    page.#server = await serve();
    try {
      await page.start(`http://127.0.0.1:${page.#server.address().port}/`);
      await page.until("the page", "window.isReady");
    } catch (error) {
      await page.stop();
      throw error;
    }
    return page;
  }

  /** Opens a client in the page; returns its node. */
  connect(name, options) {
    return this.run(`open_(${JSON.stringify(name)}, ${JSON.stringify(options)})`);
  }

  heard(name) {
    return this.run(`clients[${JSON.stringify(name)}].heard`);
  }

  async stop() {
    await super.stop();
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }
}
