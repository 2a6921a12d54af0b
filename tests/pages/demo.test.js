// The demo page, used as a person does.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";

import { withoutBrowser } from "../../clients/js/test/support/platform.js";
import { until } from "../../clients/js/test/support/wait.js";
import { artefact, Demo } from "./support/demo.js";

/** `n1 → n2 · 1 hop · 2.3 ms` */
function parse(way) {
  const [, nodes, hops] = /^(n\d(?: → n\d)*) · (\d+) hops? · [\d.]+ m?s$/.exec(way) ?? assert.fail(`no way: ${way}`);
  return { nodes: nodes.split(" → "), hops: Number(hops) };
}

describe("the demo page", { skip: withoutBrowser }, () => {
  /** @type {Demo} */
  let demo;

  before(async () => {
    demo = await Demo.open();
  });
  after(() => demo?.stop());
  afterEach(() => {
    assert.deepEqual(demo.errors, []);
    // What a browser says of nodes that are not there cannot be kept from its console.
    for (const failure of demo.failures) assert.match(failure, /127\.0\.0\.1:\d+\/(ws|locate)\?/);
  });

  async function ownerOf(key) {
    const ring = await (await fetch(`${demo.url}api/ring?key=${key}`)).json();
    return ring.places[key].owner;
  }

  async function traffic(is) {
    const pressed = await demo.run(`document.getElementById("traffic").getAttribute("aria-pressed")`);
    if (pressed !== String(is)) await demo.click("#traffic");
  }

  /**
   * Writes, and returns what the readers are told of the way. Of a message that took long no way is told: then another
   * is written, since a busy machine may be slow.
   * @param {string} from @param {string} text @param {string[]} readers
   */
  async function waysOf(from, text, ...readers) {
    for (let tries = 1; ; tries += 1) {
      const written = tries === 1 ? text : `${text} ${tries}`;
      await demo.write(from, written);
      const ways = [];
      for (const reader of readers) ways.push(await demo.way(reader, written));
      if (tries === 5 || !ways.some((way) => way.endsWith(": it was kept for its reader"))) return ways;
    }
  }

  /** Stops the traffic; all that was sent must have come. */
  async function endTraffic() {
    await traffic(false);
    // The counts are drawn every 250 ms: those of before may look as if all had come.
    await demo.run("new Promise((resolve) => setTimeout(resolve, 600))");
    const { sent } = await until("all have come", async () => {
      const counts = await demo.counts();
      return counts["under-way"] === 0 && counts.sent === counts.received && counts;
    });
    const nothing = { "under-way": 0, refused: 0, lost: 0, twice: 0, disordered: 0 };
    assert.deepEqual(await demo.counts(), { sent, received: sent, ...nothing });
  }

  it("two users write to each other, and each message shows its way", async () => {
    const [alice, bob] = [await demo.nodeOf("alice"), await demo.nodeOf("bob")];
    assert.notEqual(alice, bob);
    const [there] = await waysOf("alice", "good morning", "bob");
    assert.deepEqual(parse(there), { nodes: [alice, bob], hops: 1 });
    const [back] = await waysOf("bob", "<b>you, too</b>", "alice");
    assert.deepEqual(parse(back), { nodes: [bob, alice], hops: 1 });
    const hasArrived = /^accepted, 2 copies, .* · has arrived$/;
    await until("the receipt", async () => hasArrived.test(await demo.text("[data-user=alice] .mine .note")));
  });

  it("the lobby shows who comes and goes, and what is written to one who is away waits", async () => {
    await demo.click("#add-user");
    await demo.areOnline("alice", "bob", "carol");
    await demo.sees("alice", "carol joined the lobby");
    const [toBob, toAlice] = await waysOf("carol", "hello all", "bob", "alice");
    const { nodes, hops } = parse(toBob);
    const [from, owner, to] = [await demo.nodeOf("carol"), await ownerOf("lobby"), await demo.nodeOf("bob")];
    assert.deepEqual(nodes, [from, owner, to].filter((node, index, all) => node !== all[index - 1]));
    assert.equal(hops, nodes.length - 1);
    assert.match(toAlice, / hops? · /);

    await demo.click("[data-user=carol] .away");
    await demo.sees("bob", "carol left the lobby");
    await demo.choose("bob", "carol");
    await demo.write("bob", "are you there?");
    const last = async () => (await demo.texts("[data-user=bob] .mine .note")).at(-1) ?? "";
    await until("the receipt", async () => (await last()).startsWith("accepted, 2 copies"));
    assert.equal(await demo.text("[data-user=carol] .here"), "away");
    await demo.click("[data-user=carol] .away");
    await demo.way("carol", "are you there?");
    await demo.areOnline("alice", "bob", "carol");
    assert.equal((await demo.texts("[data-user=carol] .theirs .text")).length, 1);
  });

  it("who goes away under load and is back at once gets everything, once and in order", async () => {
    await traffic(true);
    await demo.traffic(10);
    for (let times = 0; times < 5; times += 1) {
      await demo.run(`for (const _ of [0, 1]) document.querySelector("[data-user=bob] .away").click()`);
      await demo.traffic(10);
    }
    await demo.areOnline("alice", "bob", "carol");
    await endTraffic();
  });

  it("a user's node is killed under load, and everything arrives, once and in order", async () => {
    await traffic(true);
    await demo.traffic(20);
    await demo.appear({ width: 1280 });
    await demo.picture(artefact("demo-light"));
    const gone = await demo.nodeOf("bob");
    await demo.choose("alice", "bob");
    await demo.click("[data-user=alice] [name=text]");
    await demo.type("still there?");
    await demo.order(gone, "kill");
    await until("it is dead", async () => (await demo.text("#said")) === `${gone} was killed`);
    // At once: not when the others know already.
    await demo.run(`document.querySelector("[data-user=alice] .write").requestSubmit()`);
    assert.match(await demo.way("bob", "still there?"), /: the ring has changed meanwhile$/);
    assert.equal(await demo.isNow(gone, "stopped"), 0);
    await until("bob is elsewhere", async () => ![undefined, gone].includes(await demo.nodeOf("bob")));
    assert.equal(await demo.text(`#stands .stand:nth-child(${gone.slice(1)}) .part-of`), "gone");
    await demo.traffic(30);
    await demo.allCopiesMade();
    await demo.picture(artefact("demo-killed"));
    await endTraffic();
    await demo.order(gone, "start");
    await until("it has a share", async () => (await demo.isNow(gone, "running")) > 20);
  });

  it("nodes join, stop and start again under load, and everything arrives, once and in order", async () => {
    await traffic(true);
    await demo.click("#add-node");
    await until("n4 has a share", async () => (await demo.isNow("n4", "running")) > 15);
    await demo.traffic(20);
    // With one more node she may have to move first.
    await demo.isHome("alice");
    const leaving = await demo.nodeOf("alice");
    await demo.order(leaving, "stop");
    assert.equal(await demo.isNow(leaving, "stopped"), 0);
    await until("alice is elsewhere", async () => ![undefined, leaving].includes(await demo.nodeOf("alice")));
    await demo.sees("alice", "sent on: its node is stopping");
    await demo.traffic(20);
    await demo.order(leaving, "start");
    await until("it is back", async () => (await demo.isNow(leaving, "running")) > 15);
    await until("alice is back", async () => (await demo.nodeOf("alice")) === leaving);
    await demo.traffic(20);
    await endTraffic();
  });

  it("fits on a phone, light and dark", async () => {
    for (const dark of [false, true]) {
      await demo.appear({ width: 390, height: 844, phone: true, dark });
      await until("the layout", async () => (await demo.run("innerWidth")) === 390);
      assert.equal(await demo.run("document.documentElement.scrollWidth"), 390);
      await demo.picture(artefact(`demo-phone-${dark ? "dark" : "light"}`));
    }
    await demo.appear({ width: 1280, dark: true });
    await demo.picture(artefact("demo-dark"));
  });
});

describe("the demo page's policy", { skip: withoutBrowser }, () => {
  it("keeps out what is inline and what is elsewhere", async () => {
    const demo = await Demo.open(2);
    try {
      const added = (tag, content) => `(() => {
        const added = document.createElement("${tag}");
        added.append(${JSON.stringify(content)});
        document.head.append(added);
      })()`;
      await demo.run(added("script", "window.isIn = true"));
      await demo.run(added("style", "h1 { color: rgb(1, 2, 3) }"));
      assert.equal(await demo.run("window.isIn"), undefined);
      assert.notEqual(await demo.run(`getComputedStyle(document.querySelector("h1")).color`), "rgb(1, 2, 3)");
      const asked = `fetch("http://elsewhere.invalid/").then(() => "", ({ name }) => name)`;
      assert.equal(await demo.run(asked), "TypeError");
      for (const kept of [/script element/i, /inline style/, /connect-src 'self'/]) {
        await until(`a complaint: ${kept}`, () => demo.errors.some((error) => kept.test(error)));
      }
    } finally {
      await demo.stop();
    }
  });
});

describe("the demo page without a mouse", { skip: withoutBrowser }, () => {
  /** @type {Demo} */
  let demo;

  before(async () => {
    demo = await Demo.open(2);
  });
  after(() => demo?.stop());

  /** Goes on with the tabulator until such an element has the focus. @param {string} selector */
  async function tabTo(selector) {
    for (let steps = 0; steps < 80; steps += 1) {
      await demo.press("Tab");
      if (await demo.run(`document.activeElement.matches(${JSON.stringify(selector)})`)) return;
    }
    assert.fail(`the tabulator does not come to ${selector}`);
  }

  it("all can be done with the keyboard, and who does not see it hears of it", async () => {
    await tabTo("#add-node");
    await demo.press("Enter");
    await until("n3 is there", async () => (await demo.isNow("n3", "running")) > 0);
    await until("n3 is announced", async () => (await demo.text("#said")) === "n3 joins");
    await tabTo("#nodes li:nth-child(3) [data-order=kill]");
    await demo.press(" ");
    await demo.isNow("n3", "stopped");
    await until("its end is announced", async () => (await demo.text("#said")) === "n3 was killed");
    // The focus is where it was, though nothing can be killed there any more.
    assert.equal(await demo.run("document.activeElement.getAttribute('aria-label')"), "Kill -9 n3");
    await tabTo("#add-user");
    await demo.press(" ");
    await demo.areOnline("alice", "bob", "carol");
    await tabTo("[data-user=alice] [name=text]");
    await demo.type("by keyboard");
    await demo.press("Enter");
    await demo.way("bob", "by keyboard");
    assert.equal(await demo.text("#said"), "alice to bob: by keyboard");
    assert.deepEqual(demo.errors, []);
  });

  it("the reader of a screen finds names for everything", async () => {
    const nameless = await demo.run(`[...document.querySelectorAll("button, input, select, section, ol, ul, svg")]
      .filter((element) => !element.ariaLabel && !element.getAttribute("aria-labelledby"))
      .filter((element) => !(element.matches("button") && element.textContent.trim()))
      .map(({ outerHTML }) => outerHTML.slice(0, 80))`);
    assert.deepEqual(nameless, []);
  });
});
