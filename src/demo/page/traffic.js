// Ten messages a second among the users of this page, and the account of them.

import { byId, duration, now, say, write } from "./dom.js";
import { Ledger } from "./ledger.js";

/** @typedef {import("./pane.js").Pane} Pane */

const INTERVAL_MS = 100;
const DRAW_MS = 250;

/** Tells this page's messages from those of another tab. */
const run = crypto.randomUUID();
const ledger = new Ledger();
let turns = 0;
/** @type {ReturnType<typeof setInterval> | undefined} */
let timer;

/** @param {Pane[]} panes */
export function listenForTraffic(panes) {
  const button = byId("traffic");
  button.addEventListener("click", () => {
    const starts = timer === undefined;
    clearInterval(timer);
    timer = starts ? setInterval(() => sendNext(panes), INTERVAL_MS) : undefined;
    button.setAttribute("aria-pressed", String(starts));
    say(starts ? "Ten messages a second" : "No more messages");
  });
  setInterval(() => draw(panes), DRAW_MS);
  draw(panes);
}

/** From one user to the next, so that all write to all in turn; who is away does not write. @param {Pane[]} panes */
function sendNext(panes) {
  const from = panes[turns % panes.length];
  const step = 1 + (Math.floor(turns / panes.length) % (panes.length - 1));
  const to = panes[(turns + step) % panes.length];
  turns += 1;
  if (!from.client) return;
  const lane = `${from.user} ${to.user}`;
  const number = ledger.send(lane, now());
  from.client.send({ user: to.user }, { run, number }).then(
    () => ledger.settle(lane, number, "accepted"),
    () => ledger.settle(lane, number, "refused"),
  );
}

/** Whether a message is traffic, which is counted and not shown. @param {any} message @param {string} user */
export function takeTraffic({ from, body }, user) {
  if (typeof body?.run !== "string") return false;
  if (body.run === run) ledger.receive(`${from} ${user}`, body.number, now());
  return true;
}

/** @param {Pane[]} panes */
function draw(panes) {
  /** @param {string} lane */
  const readyFor = (lane) => panes.find(({ user }) => user === lane.split(" ")[1])?.since ?? Infinity;
  const lost = ledger.lost(now(), readyFor);
  const { sent, received, twice, disordered, refused, longestMs } = ledger;
  const counts = { sent, received, "under-way": ledger.underWay() - lost, refused, lost, twice, disordered };
  for (const [name, count] of Object.entries(counts)) write(byId(`count-${name}`), String(count));
  write(byId("count-longest"), received ? duration(longestMs) : "–");
  byId("counts").classList.toggle("bad", lost + twice + disordered > 0);
}
