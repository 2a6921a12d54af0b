// The page: a cluster, and some users of it.

import { cluster, LOBBY, watch } from "./cluster.js";
import { byId, enable, isEnabled, say } from "./dom.js";
import { drawNodes, listenForNodes } from "./nodes.js";
import { Pane } from "./pane.js";
import { drawRing } from "./ring.js";
import { listenForTraffic } from "./traffic.js";

const NAMES = ["alice", "bob", "carol", "dave", "erin", "frank"];

/** @type {Pane[]} */
const panes = [];
const users = () => panes.map(({ user }) => user);

function addUser() {
  const pane = new Pane(NAMES[panes.length], users);
  panes.push(pane);
  for (const each of panes) each.listOthers();
  pane.come();
  enable(byId("add-user"), panes.length < NAMES.length);
}

function draw() {
  drawNodes();
  drawRing(panes);
  for (const pane of panes) pane.draw();
}

byId("add-user").addEventListener("click", () => {
  if (!isEnabled(byId("add-user"))) return;
  addUser();
  say(`${users().at(-1)} is there`);
});
addEventListener("pagehide", () => panes.forEach((pane) => pane.close()));
listenForNodes();
await watch(() => [...NAMES.slice(0, Math.max(2, panes.length)), LOBBY], draw);
if (cluster.answers) {
  addUser();
  addUser();
  panes[0].writeTo(panes[1].user);
  panes[1].writeTo(panes[0].user);
  listenForTraffic(panes);
}
