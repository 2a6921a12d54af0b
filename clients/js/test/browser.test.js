// The client in a browser, which sees less of a handshake than a program does, and more of origins.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Page } from "./support/browser.js";
import { listen, numbers, traffic } from "./support/clients.js";
import { Cluster } from "./support/cluster.js";
import { withoutBrowser } from "./support/platform.js";
import { until, within } from "./support/wait.js";

describe("in a browser", { skip: withoutBrowser }, () => {
  /** @type {Cluster} */
  let cluster;
  /** @type {Page} */
  let page;
  /** @type {ReturnType<typeof listen>} */
  let sender;

  before(async () => {
    cluster = await Cluster.start(3);
    page = await Page.open();
    const urls = cluster.nodes.map(({ url }) => url);
    sender = listen({ url: urls, user: await cluster.userOf(cluster.nodes[0], "sender"), backoffMaxMs: 1_000 });
    await within("a welcome", sender.ready);
  });
  after(async () => {
    await sender?.close();
    await page?.stop();
    await cluster?.stop();
  });

  it("locate leads a page to the owner, across origins", async () => {
    const user = await cluster.userOf(cluster.nodes[1], "locate");
    assert.equal(await page.connect("locate", { url: cluster.nodes[0].url, user }), "n2");
    const { states, redirects } = await page.heard("locate");
    assert.deepEqual([states, redirects], [[["connected", null]], []]);
  });

  it("a redirect message leads a page to the owner", async () => {
    const user = await cluster.userOf(cluster.nodes[2], "frame");
    const options = { url: cluster.nodes[0].url, user, withoutLocate: true };
    assert.equal(await page.connect("frame", options), "n3");
    assert.deepEqual((await page.heard("frame")).redirects, ["not_owner"]);
  });

  it("a page that is loaded again goes on at the position that it kept", async () => {
    const user = await cluster.userOf(cluster.nodes[1], "resumes");
    const options = { url: cluster.nodes[0].url, user, autoAck: false };
    await page.connect("before", options);
    for (const number of numbers(3)) await sender.send({ user }, number);
    await until("all arrive", async () => (await page.heard("before")).bodies.length === 3);
    const { epoch, offset } = await page.run("clients.before.client.position");
    await page.run("clients.before.client.close()");
    await sender.send({ user }, 3);
    await page.connect("after", { ...options, resume: { epoch, offset: offset - 1 } });
    await until("the rest arrives", async () => (await page.heard("after")).bodies.length === 2);
    const { bodies, recovered } = await page.heard("after");
    assert.deepEqual([bodies, recovered], [[2, 3], [true]]);
    // And nothing was acked meanwhile: without a position all of it comes.
    await page.run("clients.after.client.close()");
    await page.connect("again", options);
    await until("all of it", async () => (await page.heard("again")).bodies.length === 4);
    assert.deepEqual((await page.heard("again")).recovered, [null]);
  });

  it("a page that may not connect is told so, and does not come back", async () => {
    const foreign = await Cluster.start(1, ["--allowed-origins", "https://chat.example"]);
    try {
      const url = foreign.nodes[0].url;
      const code = await page.run(`open_("foreign", { url: "${url}", user: "x" }).catch((error) => error.code)`);
      assert.equal(code, "not_allowed");
      assert.equal(await page.run("clients.foreign.client.state"), "closed");
    } finally {
      await foreign.stop();
    }
  });

  it("a drain moves a page without its notice, and kill -9 costs it no message", async () => {
    const [first, second, third] = cluster.nodes;
    const user = await cluster.userOf(third, "moves");
    assert.equal(await page.connect("moves", { url: [first.url, second.url], user }), "n3");
    const numbered = traffic(sender, { user });
    const heard = () => page.heard("moves");
    await until("traffic", async () => (await heard()).bodies.length > 20);
    third.process.kill("SIGTERM");
    await within("the drained node ends", third.exit);
    // What the node wrote last reaches the page's script later than its end reaches this one.
    await until("the page moves", () => page.run(`clients.moves.client.node !== "n3"`));
    const drained = await heard();
    assert.ok(drained.redirects.includes("drain"));
    assert.ok(drained.states.every(([state]) => state === "connected"));
    await cluster.settled();
    // The sender may be there, too: it comes back like the page.
    await cluster.node(await page.run("clients.moves.client.node")).kill();
    const sent = numbered.sent();
    await until("traffic again", async () => (await heard()).bodies.length > sent);
    const count = await numbered.stop();
    await until("all arrive", async () => (await heard()).bodies.length >= count);
    assert.deepEqual((await heard()).bodies, numbers(count));
  });
});
