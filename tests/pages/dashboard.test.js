// The dashboard in a browser: during a join, a crash and a drain, by keyboard, with a key, and with a hundred nodes.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { connect } from "../../clients/js/src/index.js";
import { Browser } from "../../clients/js/test/support/chromium.js";
import { Cluster } from "../../clients/js/test/support/cluster.js";
import { WebSocket, withoutBrowser } from "../../clients/js/test/support/platform.js";
import { until } from "../../clients/js/test/support/wait.js";
import { FakeNode, shareOf } from "./support/fake_node.js";

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
      const user = await cluster.userOf(cluster.nodes[2], "reader");
      await page.run(`document.querySelector("#timeline").focus()`);
      await page.press("Tab");
      assert.equal(await page.run("document.activeElement.id"), "user");
      await page.type(user);
      await page.press("Enter");
      const answer = `document.querySelector("#user-answer").textContent`;
      await page.until("an answer", `${answer}.includes("Ownern3")`);
      assert.match(await page.run(answer), /Sessionsnone: offline/);
      assert.match(await page.run(answer), /Thenn[12], n[12]/);
      const client = connect({ url: cluster.nodes[2].url, user, WebSocket });
      await client.send({ user }, "to myself");
      // Nobody has to ask again.
      const isThere = `/Inboxat 1 of epoch \\S+Ackedup to \\d; \\d waitSessions\\S+ at n3 since \\d/.test(${answer})`;
      await page.until("the session and the inbox", isThere);
      await client.close();
    });

    it("shows a join, a crash and a hand-over", async () => {
      await cluster.join();
      await page.until("n4 is up", `${column("State")}.join() === "alive,alive,alive,alive"`);
      await page.until("it is on the ring", `document.querySelectorAll("#shares path").length === 4`);
      await page.until("the join is told", `${TIMELINE}.includes("n4 is up")`);
      await cluster.settled();
      await page.until("and that streams moved", `/n4: [^:]*taken over,? in/.test(${TIMELINE})`);
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
        await page.type("schlüssel-→");
        await page.press("Enter");
        const refused = `document.querySelector("#key-refused").textContent`;
        await page.until("it is no key", `${refused}.includes("visible ASCII")`);
        await page.run(`document.querySelector("#key").value = ""`);
        await page.type("wrong");
        await page.press("Enter");
        await page.until("it is refused", `!${form}.hidden && !document.querySelector("#key-refused").hidden`);
        await page.type(key);
        await page.press("Enter");
        await page.until("members", `${column("Node")}.length === 3 && ${form}.hidden`);
        assert.deepEqual(fake.keys, [undefined, "Bearer wrong", `Bearer ${key}`]);
        assert.equal(await page.run("localStorage.length"), 0);
        fake.key = "another-key-0123456789";
        fake.end();
        await page.until("it is withdrawn", `!${form}.hidden && !document.querySelector("#key-refused").hidden`);
      } finally {
        await page?.stop();
        await fake.stop();
      }
    });
  });

  describe("of a cluster that is made up", () => {
    const COUNT = 12;
    /** @type {FakeNode} */
    let fake;
    /** @type {Browser} */
    let page;

    before(async () => {
      fake = await FakeNode.start(COUNT);
      page = await open(fake.url);
      await page.until("rates", `${column("In/s")}[0] === "100"`);
    });
    after(async () => {
      await page?.stop();
      await fake?.stop();
    });

    it("has the right number in each column", async () => {
      const third = async (heading) => (await page.run(column(heading)))[2];
      const numbers = {
        State: "alive", Sessions: "1,002", Guests: "2", Streams: "1,000", Held: "2,000", "To copy": "0",
        "In/s": "102", "Out/s": "204", "Hops/s": "102", "Bytes in/s": "10.0 KiB", "Bytes out/s": "19.9 KiB",
        "Bytes hop/s": "10.0 KiB", Queued: "32", p50: "1 ms", p99: "10 ms", Kept: "977 KiB",
      };
      for (const [heading, number] of Object.entries(numbers)) assert.equal(await third(heading), number, heading);
      assert.equal((await page.run(column("State")))[8], "alive, no numbers");
      assert.equal((await page.run(column("State")))[11], "draining");
      assert.equal((await page.run(column("Out/s")))[9], "–", "it is down");
    });

    it("sums up what the members have", async () => {
      const tiles = `Object.fromEntries([...document.querySelectorAll(".total")].map((tile) =>
        [tile.querySelector("dt").textContent, tile.querySelector("dd").textContent.trim()]))`;
      const all = [...Array(COUNT).keys()].filter((index) => index !== 9);
      const sum = (of) => all.reduce((total, index) => total + of(index), 0).toLocaleString("en");
      // Of one that is stale no rate is known.
      const rates = all.filter((index) => index !== 8).reduce((total, index) => total + 100 + index, 0);
      const told = await page.run(tiles);
      assert.equal(told["Nodes alive"], "10 of 12");
      assert.equal(told.Sessions, `${sum((index) => 1000 + index)} ${sum((index) => index % 5)} guests`);
      assert.match(told["Messages in"], new RegExp(`^${rates.toLocaleString("en")}/s `));
      assert.match(told["Messages out"], new RegExp(`^${(2 * rates).toLocaleString("en")}/s `));
      assert.equal(told.Queued, sum((index) => (index % 3) + 30));
      assert.equal(told["Delivery, median"], "1 ms p99 10 ms");
    });

    it("draws the ring to scale", async () => {
      /** How many of a thousand points of a circle each path covers. @param {string} group @param {number} radius */
      const covered = (group, radius) => page.run(`(() => {
        const places = [...Array(1000).keys()].map((place) => (place / 1000) * 2 * Math.PI);
        const points = places.map((angle) => new DOMPoint(${radius} * Math.sin(angle), -${radius} * Math.cos(angle)));
        return Object.fromEntries([...document.querySelectorAll("${group} path")].map((path) =>
          [path.dataset.node, points.filter((point) => path.isPointInFill(point)).length / 1000]));
      })()`);
      const shares = await covered("#shares", 62);
      const parts = await covered("#parts", 96);
      for (let index = 0; index < COUNT; index += 1) {
        const id = `node-${index + 1}`;
        assert.ok(Math.abs(shares[id] - shareOf(index, COUNT)) < 0.006, `${id}: ${shares[id]}`);
        const part = fake.ring.owners.filter((owner) => owner === index).length / fake.ring.owners.length;
        assert.ok(Math.abs(parts[id] - part) < 0.01, `${id}: ${parts[id]} of ${part}`);
      }
    });

    it("shows what has no column, by keyboard, and what the columns mean", async () => {
      const button = `[...document.querySelectorAll("tbody button")].find((one) => one.textContent === "node-3")`;
      await page.run(`${button}.focus()`);
      assert.equal(await page.run(`document.querySelector("#ring-name").textContent`), "node-3");
      await page.press("Enter");
      const lines = `document.querySelector("#details[open] dl")?.textContent`;
      await page.until("the details", lines);
      assert.match(
        await page.run(lines),
        /Clients atws:\/\/node-3:7001Peers atnode-3:7101Weight1: .*Wait for peers2Unanswered by peers7Without an outcome10Webhook events20$/,
      );
      await page.picture(artefact("dashboard-details"), { whole: false });
      // The focus is on what closes them.
      await page.press("Enter");
      await page.until("they are closed", `!document.querySelector("#details[open]")`);
      assert.equal(await page.run(`document.activeElement === ${button}`), true);
      const meant = await page.run(`document.querySelector(".meanings").textContent`);
      for (const heading of await page.run(`[...document.querySelectorAll("thead button")].map((one) => one.textContent)`)) {
        assert.ok(meant.includes(heading), heading);
      }
    });

    it("puts what is told late where it belongs in time", async () => {
      const at = Date.now() + 60_000;
      const moment = (number, more, member) => ({ number, at_ms: at + more, node: "node-1", event: "member_down", member });
      fake.tell("timeline", [moment(900, 0, "early"), moment(901, 2000, "late"), moment(902, 1000, "between")]);
      const first = `[...document.querySelectorAll("#timeline li span")].slice(0, 3).map((one) => one.textContent).join()`;
      await page.until("three lines", `${first} === "late is down,between is down,early is down"`);
    });

    it("shows the answer to the last question of a user, and asks again when the ring has changed", async () => {
      const answers = [];
      fake.onUser = (user) => new Promise((resolve) => answers.push({ user, resolve }));
      const found = (user, owner) => ({ user, owner, successors: [], inbox: null, sessions: [] });
      const ask = async (user) => {
        await page.run(`document.querySelector("#user").value = ""; document.querySelector("#user").focus()`);
        await page.type(user);
        await page.press("Enter");
      };
      const answer = `document.querySelector("#user-answer").textContent`;
      await ask("alice");
      await until("the first question", () => answers.length === 1);
      await ask("bob");
      await until("the second", () => answers.length === 2);
      answers[1].resolve(found("bob", "node-2"));
      await page.until("the second answer", `${answer}.includes("Ownernode-2")`);
      answers[0].resolve(found("alice", "node-1"));
      fake.tell("ring", fake.ring);
      // Or one more, if five seconds have passed since the second answer.
      await until("the third question", () => answers.length >= 3);
      assert.equal(answers[2].user, "bob");
      assert.match(await page.run(answer), /Ownernode-2/);
      for (const { resolve } of answers.slice(2)) resolve(found("bob", "node-5"));
      fake.onUser = (user) => found(user, "node-5");
      await page.until("the third answer", `${answer}.includes("Ownernode-5")`);
      assert.match(await page.run(`document.querySelector("#user-asked").textContent`), /\d\d:\d\d:\d\d/);
    });

    it("says that a fault of its own is one, and not the connection's", async () => {
      fake.tell("snapshot", { members: 7 });
      await until("the fault", () => page.errors.length > 0);
      assert.equal(await page.run(`document.querySelector("#status").textContent`), "live");
      page.errors.splice(0);
    });

    it("is lost without its node, and live again when that is back", async () => {
      const status = `document.querySelector("#status").textContent`;
      await fake.stop();
      await page.until("it is lost", `${status}.includes("no connection")`);
      await fake.resume();
      await page.until("it is live", `${status} === "live"`);
      await page.until("all is told anew, once", `document.querySelectorAll("#timeline li").length === ${COUNT}`);
      assert.deepEqual(page.errors, []);
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
        await page.until("the layout", "innerWidth === 390");
        assert.equal(await page.run(IS_WIDE), false);
        await page.picture(artefact(`dashboard-phone${dark ? "-dark" : ""}`));
      }
    });
  });
});
