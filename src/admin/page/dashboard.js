// The dashboard: what the node tells, on its way to those who draw it.

import { Cluster } from "./cluster.js";
import { byId, input, make, write } from "./dom.js";
import { ask, follow, setKey } from "./feed.js";
import { count } from "./format.js";
import * as members from "./members.js";
import * as ring from "./ring.js";
import * as timeline from "./timeline.js";
import * as totals from "./totals.js";

const cluster = new Cluster();

/** @type {Record<string, (data: any) => void>} */
const handlers = {
  ring: ring.setRing,
  timeline: (moments) => {
    // The first list of a connection has all.
    if (isFirst) timeline.clear();
    isFirst = false;
    timeline.add(moments);
  },
  snapshot: (snapshot) => {
    cluster.take(snapshot);
    write(byId("node"), snapshot.node);
    write(byId("digest"), snapshot.digest);
    document.title = `${snapshot.node} · Ringpost`;
    ring.setRows(cluster.rows);
    members.draw(cluster.rows);
    totals.draw(cluster.totals());
  },
};
let isFirst = true;

function start() {
  byId("key-form").hidden = true;
  void follow({
    onEvent: (name, data) => handlers[name]?.(data),
    onState: (state, text) => {
      if (state === "lost") isFirst = true;
      byId("status").dataset.state = state;
      write(byId("status"), text);
    },
    onKeyWanted: (wasRefused) => {
      byId("key-form").hidden = false;
      byId("key-refused").hidden = !wasRefused;
      byId("status").dataset.state = "waiting";
      write(byId("status"), "a key is needed");
      byId("key").focus();
    },
  });
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(input("key").value.trim());
  input("key").value = "";
  start();
});

byId("user-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void lookUp(input("user").value);
});

/** @param {string} user */
async function lookUp(user) {
  const place = byId("user-answer");
  const answer = await ask(`/v1/users/${encodeURIComponent(user)}`).catch(() => undefined);
  const found = await answer?.json().catch(() => undefined);
  if (!answer?.ok || !found) {
    place.replaceChildren(make("p", "bad", found?.error?.message ?? "The node does not answer."));
    return;
  }
  const list = make("dl");
  /** @param {string} name @param {string | HTMLElement} value */
  const line = (name, value) => {
    const cell = make("dd");
    cell.append(value);
    list.append(make("dt", "", name), cell);
  };
  line("User", found.user);
  line("Owner", found.owner ?? "nobody");
  line("Then", found.successors.slice(0, 3).join(", ") || "nobody");
  const { inbox } = found;
  line("Inbox", inbox ? `at ${count(inbox.offset)} of epoch ${inbox.epoch}` : "nothing was kept");
  if (inbox) line("Acked", `up to ${count(inbox.acked)}; ${count(inbox.waiting)} wait`);
  const sessions = make("ul");
  for (const { node, session, since } of found.sessions) {
    const when = since ? ` since ${new Date(since).toLocaleString("en-GB")}` : "";
    sessions.append(make("li", "", `${session} at ${node}${when}`));
  }
  line("Sessions", found.sessions.length ? sessions : "none: offline");
  place.replaceChildren(list);
}

totals.prepare();
members.prepare();
start();
