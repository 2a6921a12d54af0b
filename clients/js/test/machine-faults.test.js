// What the client decides when tries fail, with no clock and no socket.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { scripted } from "./support/fakes.js";

const outcomeOf = (promise) => promise.then((reply) => ({ reply }), (error) => ({ error }));
const send = (script, id, options = {}) =>
  outcomeOf(script.machine.request({ type: "send", to: { user: "bob" }, body: id }, { id, ...options }));
const receipt = (id, code) => ({
  ...{ type: "receipt", id, status: code ? "failed" : "accepted" },
  ...(code && { error: { code, message: "no", retry: true } }),
});

/** Time goes on to the next connection, which is welcomed. */
function reconnect(script, welcome = {}) {
  script.at(script.machine.deadline());
  const { link } = script.located();
  script.welcome(link, welcome);
  return link;
}

/** The client is sent away; returns the connection that it is about to leave, and the one that it makes. */
function moving(script, link) {
  script.said(link, { type: "redirect", url: "ws://n3:3/ws?hop=1", reason: "moved", after_ms: 0 });
  script.at(script.now);
  const [[, next]] = script.done("open");
  return next;
}

describe("the outcome of a send", () => {
  it("is not definite if it fails on the second connection: the first may have accepted it", async () => {
    const script = scripted();
    const first = script.connect();
    const [repeated, late] = [send(script, "repeated"), send(script, "late")];
    script.closed(first, 1006);
    const once = send(script, "once");
    const next = reconnect(script);
    for (const id of ["repeated", "once"]) script.said(next, receipt(id, "unreachable"));
    const { error } = await repeated;
    assert.deepEqual([error.code, error.retry, error.definite], ["unreachable", true, false]);
    assert.equal((await once).error.definite, true);
    script.said(next, receipt("late"));
    assert.equal((await late).reply.status, "accepted");
  });

  it("is not definite if it is too long for the second connection", async () => {
    const script = scripted();
    const first = script.connect();
    const long = send(script, "x".repeat(60));
    script.closed(first, 1006);
    reconnect(script, { max_message_bytes: 50 });
    const { error } = await long;
    assert.deepEqual([error.code, error.definite], ["too_large", false]);
  });

  it("is that of the new connection, if the one that is left fails it", async () => {
    const script = scripted();
    const old = script.connect();
    const [kept, fleeting] = [send(script, "kept"), send(script, "fleeting", { repeatable: false })];
    const link = moving(script, old);
    script.welcome(link);
    script.said(old, receipt("kept", "rate_limited"));
    script.said(old, receipt("fleeting", "offline"));
    script.said(link, receipt("kept"));
    assert.equal((await kept).reply?.status, "accepted");
    assert.equal((await fleeting).error.definite, true);
  });
});

describe("waiting", () => {
  it("is by chance, from the least wait to the longest", () => {
    const waits = [0, 0.25, 0.5, 1].map((random) => {
      const script = scripted({ backoffMinMs: 20, backoffFirstMs: 1_020 });
      const link = script.connect();
      script.random = random;
      script.closed(link, 1006);
      return script.machine.deadline();
    });
    assert.deepEqual(waits, [20, 270, 520, 1_020]);
  });

  it("to ask again for a room is by chance, too", async () => {
    const waits = [0, 0.5, 1].map((random) => {
      const script = scripted();
      const link = script.connect();
      void outcomeOf(script.machine.join("lobby"));
      script.said(link, { ...receipt(script.written()[0].id), status: "joined", epoch: "r", offset: 0 });
      script.closed(link, 1006);
      const next = reconnect(script);
      const { id } = script.written().find(({ type }) => type === "join");
      script.random = random;
      script.said(next, receipt(id, "unreachable"));
      const first = script.machine.deadline() - script.now;
      script.at(script.machine.deadline());
      script.said(next, receipt(script.written().find(({ type }) => type === "join").id, "unreachable"));
      return [first, script.machine.deadline() - script.now];
    });
    assert.deepEqual(waits, [[100, 100], [100, 150], [100, 200]]);
  });

  it("for a move that failed is cut short when the connection breaks", () => {
    const script = scripted({ backoffFirstMs: 30_000 });
    const old = script.connect();
    script.closed(moving(script, old), 1013);
    script.closed(script.at(script.now).located().link, 1013);
    // It is due after 30 s, and before that the silence.
    assert.equal(script.machine.deadline(), 25_000);
    script.random = 0;
    script.closed(old, 1006);
    assert.equal(script.machine.deadline(), 20);
  });
});

describe("a locate that hangs", () => {
  it("leads to nobody: the node is asked for a redirect by a message", () => {
    const script = scripted({ connectTimeoutMs: 500 }).at(0);
    assert.equal(script.done("locate").length, 1);
    script.at(500);
    const [[, , url, given]] = script.done("open");
    assert.deepEqual([url, given], ["ws://n1:1/ws?user=alice&redirect=frame", true]);
    // And then locate has another chance.
    script.at(1_000);
    assert.equal(script.at(script.machine.deadline()).done("locate").length, 1);
  });
});

describe("a client that does not follow redirects", () => {
  it("asks locate whether it is refused, and does not go where that leads", () => {
    const script = scripted({ followRedirects: false }).at(0);
    const { link, url } = script.located();
    assert.equal(url, "ws://n1:1/ws?user=alice&redirect=never");
    script.closed(link, 1006);
    const next = script.at(script.machine.deadline()).located();
    assert.equal(next.url, "ws://n1:1/ws?user=alice&redirect=never");
  });
});

describe("lists that are asked for again", () => {
  /** Of 100 users, at a node that takes 30 at once. */
  function watching() {
    const script = scripted();
    const link = script.connect();
    const users = Array.from({ length: 100 }, (_, number) => `u${number}`);
    for (const part of [users.slice(0, 30), users.slice(30, 60), users.slice(60, 90), users.slice(90)]) {
      void script.machine.presence({ users: part }, true);
      answer(script, link, script.written()[0]);
    }
    script.closed(link, 1006);
    return { script, users, link: reconnect(script) };
  }

  function answer(script, link, { id, users }) {
    const online = Object.fromEntries(users.map((user) => [user, false]));
    script.said(link, { type: "presence", id, online });
  }

  it("are halved until the node takes them", () => {
    const { script, users, link } = watching();
    const taken = [];
    for (let asked = script.written(); asked.length; asked = script.at(script.now).written()) {
      for (const request of asked.filter(({ type }) => type === "presence")) {
        if (request.users.length > 30) {
          script.said(link, { ...receipt(request.id, "too_large"), error: { code: "too_large", message: "no", retry: false } });
        } else {
          taken.push(...request.users);
          answer(script, link, request);
        }
      }
    }
    assert.deepEqual(taken.sort(), users.sort());
    // The next connection is asked in lists of that size at once.
    script.closed(link, 1006);
    reconnect(script);
    assert.deepEqual(script.written().map(({ users }) => users.length), [25, 25, 25, 25]);
  });

  it("are told when they are refused for good", () => {
    const { script, link } = watching();
    const [{ id }] = script.written();
    script.done();
    script.said(link, { ...receipt(id, "not_allowed"), error: { code: "not_allowed", message: "no", retry: false } });
    const told = script.done("tell");
    assert.equal(told.length, 100);
    const [, name, error] = told[0];
    assert.deepEqual([name, error.code, error.message], ["error", "not_allowed", "u0: no"]);
    script.closed(link, 1006);
    reconnect(script);
    assert.deepEqual(script.written(), []);
  });
});

describe("too many messages", () => {
  it("that were passed over come again, also if a move fails after the program has caught up", () => {
    const script = scripted({ bufferMax: 4 });
    const old = script.connect();
    for (let offset = 1; offset <= 6; offset += 1) script.message(old, offset);
    const items = script.done("message").map(([, item]) => item);
    const trial = moving(script, old);
    for (const item of items) script.machine.taken(item);
    assert.deepEqual(script.done("close"), []);
    script.closed(trial, 1006);
    const done = script.at(script.now).done();
    assert.deepEqual(done.find(([name]) => name === "close"), ["close", old]);
    const [, link] = done.find(([name]) => name === "locate");
    script.machine.connections.located(link, "ws://n2:2/ws?hop=1");
    assert.match(script.done("open")[0][2], /epoch=e&offset=4$/);
  });
});

describe("closing", () => {
  it("is due at once when nothing is waited for", () => {
    const script = scripted();
    script.connect();
    script.now = 7;
    script.machine.close();
    assert.equal(script.machine.deadline(), 7);
    assert.equal(script.at(7).done("end").length, 1);
  });
});
