// A TCP proxy that can cut its connections, and fall silent.

import { connect, createServer } from "node:net";

export class Proxy {
  #server;
  #pairs = new Set();
  /** The port on this machine that is behind it. */
  target = 0;
  #isOpen = true;
  #isSilent = false;
  /** How many connections came through. */
  accepted = 0;

  static async start() {
    const proxy = new Proxy();
    proxy.#server = createServer((client) => proxy.#accept(client));
    await new Promise((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    proxy.url = `ws://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }


  #accept(client) {
    if (!this.#isOpen) return client.destroy();
    this.accepted += 1;
    const server = connect(this.target, "127.0.0.1");
    const pair = [client, server];
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [server, client]]) {
      from.on("data", (data) => this.#isSilent || to.write(data));
      from.on("error", () => {});
      from.on("close", () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
    }
  }

  /** Cuts all connections. */
  cut() {
    for (const socket of [...this.#pairs].flat()) socket.destroy();
  }

  /** Cuts all, and takes no more. */
  offline() {
    this.#isOpen = false;
    this.cut();
  }

  online() {
    this.#isOpen = true;
  }

  /** Nothing passes any more, and nobody is told; or again, for new connections. */
  silent(is) {
    this.#isSilent = is;
  }

  async stop() {
    this.offline();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
