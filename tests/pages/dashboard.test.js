// The dashboard in a browser: during a join, a crash and a drain, by keyboard, with a key, and with a hundred nodes.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { Browser } from "../../clients/js/test/support/chromium.js";
import { Cluster } from "../../clients/js/test/support/cluster.js";
import { withoutBrowser } from "../../clients/js/test/support/platform.js";
import { FakeNode } from "./support/fake_node.js";

/** @param {string} name */
const artefact = (name) => fileURLToPath(new URL(`../artefacts/${name}.png`, import.meta.url));

const TIMELINE = `document.querySelector("#timeline").textContent`;
/** What stands in the column of that heading, from top to bottom. @param {string} heading */
const column = (heading) => `(() => {
  const headings = [...document.querySelectorAll("thead th")].map((th) => th.textContent);
  const index = headings.indexOf(${JSON.stringify(heading)});
  return [...document.querySelectorAll("#members tr")].map((tr) => tr.cells[index].textContent);
})()`;
const IS_WIDE = `document.documentElement.scrollWidth > document.documentElement.clientWidth`;

/** @param {string} url @param {object} [how] */
async function open(url, how = { width: 1400 }) {
  const page = new Browser();
  await page.start(url);
  try {
    await page.appear(how);
  } catch (error) {
    await page.stop();
    throw error;
  }
  return page;
}

describe("the dashboard", { skip: withoutBrowser }, () => {
  describe("of a cluster", () => {
    /** @type {Cluster} */
    let cluster;
    /** @type {Browser} */
    let page;

    before(async () => {
      cluster = await Cluster.start(3);
      page = await open(`http://${cluster.nodes[0].adminAddress}/`);
      await page.until("three members", `${column("State")}.join() === "alive,alive,alive"`);
    });
    after(async () => {
      await page?.stop();
      await cluster?.stop();
    });

    it("shows the numbers of all nodes, whichever is asked", async () => {
      const send = (number) =>
        cluster.nodes[1].admin("/v1/send", {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ from: "shop", to: { user: `user-${number}` }, id: `m${number}`, body: number }),
        });
      await Promise.all(Array.from({ length: 30 }, (_, number) => send(number)));
      const owned = `${column("Streams")}.reduce((sum, text) => sum + Number(text), 0)`;
      await page.until("30 inboxes are owned", `${owned} === 30`);
      const shares = await page.run(column("Share"));
      const sum = shares.reduce((all, share) => all + Number.parseFloat(share), 0);
      assert.ok(Math.abs(sum - 100) < 0.2, `${shares}`);
      assert.equal(await page.run(`document.querySelectorAll("#shares path").length`), 3);
    });

    it("looks up a user, by keyboard alone", async () => {
      const user = await cluster.userOf(cluster.nodes[2], "user");
      await page.run(`document.querySelector("#timeline").focus()`);
      await page.press("Tab");
      assert.equal(await page.run("document.activeElement.id"), "user");
      await page.type(user);
      await page.press("Enter");
      const answer = `document.querySelector("#user-answer").textContent`;
      await page.until("an answer", `${answer}.includes("Ownern3")`);
      assert.match(await page.run(answer), /Sessionsnone: offline/);
    });

    it("shows a join, a crash and a hand-over", async () => {
      await cluster.join();
      await page.until("n4 is up", `${column("State")}.join() === "alive,alive,alive,alive"`);
      await page.until("it is on the ring", `document.querySelectorAll("#shares path").length === 4`);
      await page.until("the join is told", `${TIMELINE}.includes("n4 is up")`);
      await cluster.settled();
      await page.until("and that streams moved", `/n4 is done: took over [1-9]/.test(${TIMELINE})`);
      await cluster.nodes[1].kill();
      await page.until("n2 is down", `${column("State")}[1] === "down"`);
      await page.until("the crash is told", `${TIMELINE}.includes("n2 is down")`);
      assert.equal(await page.run(`document.querySelectorAll("#shares path").length`), 3);
      await page.picture(artefact("dashboard-crash"));
      assert.deepEqual(page.errors, []);
    });

    it("says when its node drains, and is not lost without it", async () => {
      cluster.nodes[0].process.kill("SIGTERM");
      const status = `document.querySelector("#status").textContent`;
      await page.until("the end is told", `/drains|no connection/.test(${status})`);
      await cluster.nodes[0].exit;
      assert.equal((await page.run(column("State"))).length, 4, "the last that was known");
    });
  });

  describe("of a node with keys", () => {
    it("asks for a key, keeps it, and shows nothing without one", async () => {
      const key = "0123456789abcdef0123456789abcdef";
      /** @type {Browser | undefined} */
      let page;
      const fake = await FakeNode.start(3, key);
      try {
        page = await open(fake.url);
        const form = `document.querySelector("#key-form")`;
        await page.until("the form", `!${form}.hidden && document.activeElement.id === "key"`);
        await page.type("wrong");
        await page.press("Enter");
        await page.until("it is refused", `!${form}.hidden && !document.querySelector("#key-refused").hidden`);
        await page.type(key);
        await page.press("Enter");
        await page.until("members", `${column("Node")}.length === 3 && ${form}.hidden`);
        assert.deepEqual(fake.keys, [undefined, "Bearer wrong", `Bearer ${key}`]);
        assert.equal(await page.run("localStorage.length"), 0);
      } finally {
        await page?.stop();
        await fake.stop();
      }
    });
  });

  describe("of a hundred nodes", () => {
    /** @type {FakeNode} */
    let fake;
    /** @type {Browser} */
    let page;

    before(async () => {
      fake = await FakeNode.start(100);
      page = await open(fake.url);
      await page.until("a hundred members", `${column("Node")}.length === 100`);
    });
    after(async () => {
      await page?.stop();
      await fake?.stop();
    });

    it("draws all, and only what changes", async () => {
      await page.until("rates", `${column("In/s")}[0] === "100"`);
      await page.run(`(() => {
        window.drawn = 0;
        window.kept = document.querySelector("#shares path");
        new MutationObserver((all) => (window.drawn += all.length)).observe(document.querySelector("#ring"), { childList: true, subtree: true });
        window.before = document.querySelectorAll("#timeline li").length;
      })()`);
      const second = `document.querySelector("#members tr").lastElementChild.previousElementSibling.textContent`;
      const now = await page.run(second);
      await page.until("two seconds more", `Number.parseInt(${second}) >= ${Number.parseInt(now) + 2}`);
      assert.equal(await page.run("window.drawn"), 0, "the ring is not drawn again");
      assert.ok(await page.run("window.kept.isConnected"));
      assert.equal(await page.run(`document.querySelectorAll("#timeline li").length - window.before`), 0);
      assert.equal(await page.run(IS_WIDE), false);
      assert.deepEqual(page.errors, []);
    });

    it("is sorted with the keyboard", async () => {
      await page.run(`[...document.querySelectorAll("thead button")].find((b) => b.textContent === "Sessions").focus()`);
      await page.press("Enter");
      assert.equal((await page.run(column("Sessions")))[0], "1,099");
      await page.press("Enter");
      const sessions = (await page.run(column("Sessions"))).filter((text) => text !== "–");
      assert.equal(sessions[0], "1,000");
      const sorting = `document.activeElement.closest("th").getAttribute("aria-sort")`;
      assert.equal(await page.run(sorting), "ascending");
      await page.picture(artefact("dashboard-hundred"), { whole: false });
    });

    it("fits on a phone, light and dark", async () => {
      for (const dark of [false, true]) {
        await page.appear({ width: 390, height: 844, phone: true, dark });
        assert.equal(await page.run(IS_WIDE), false);
        await page.picture(artefact(`dashboard-phone${dark ? "-dark" : ""}`));
      }
    });
  });
});
