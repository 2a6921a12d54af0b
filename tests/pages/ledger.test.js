// The account of the traffic on the demo page, which must not say that all is well when it is not.

import assert from "node:assert/strict";
import { it } from "node:test";

import { Ledger, LOST_MS } from "../../src/demo/page/ledger.js";

const always = () => 0;

/** A ledger with so many accepted messages, sent at 0. @param {number} count */
function accepted(count) {
  const ledger = new Ledger();
  for (let number = 0; number < count; number += 1) {
    assert.equal(ledger.send("a b", 0), number);
    ledger.settle("a b", number, "accepted");
  }
  return ledger;
}

it("what comes once and in order is received, and nothing else", () => {
  const ledger = accepted(3);
  for (const number of [0, 1, 2]) ledger.receive("a b", number, 5 + number);
  const { sent, received, twice, disordered, longestMs } = ledger;
  assert.deepEqual([sent, received, twice, disordered, longestMs], [3, 3, 0, 0, 7]);
  assert.equal(ledger.underWay(), 0);
  assert.equal(ledger.lost(LOST_MS * 9, always), 0);
});

it("a message that a later one has overtaken is lost, or out of order if it comes", () => {
  const ledger = accepted(3);
  ledger.receive("a b", 0, 1);
  ledger.receive("a b", 2, 1);
  assert.equal(ledger.lost(1, always), 1);
  ledger.receive("a b", 1, 1);
  assert.equal(ledger.lost(1, always), 0);
  assert.equal(ledger.disordered, 1);
});

it("the last message is lost when its reader has waited for long, and not while the reader is away", () => {
  const ledger = accepted(1);
  assert.equal(ledger.lost(LOST_MS + 1, () => Infinity), 0);
  assert.equal(ledger.lost(LOST_MS + 1, () => 2), 0);
  assert.equal(ledger.lost(LOST_MS + 3, () => 2), 1);
  assert.equal(ledger.underWay(), 1);
});

it("a repeat is counted, also of what is forgotten", () => {
  const ledger = accepted(2);
  ledger.receive("a b", 0, 1);
  ledger.receive("a b", 0, 1);
  ledger.receive("a b", 1, 1);
  ledger.receive("a b", 1, 1);
  assert.deepEqual([ledger.received, ledger.twice], [2, 2]);
});

it("a message that was refused is neither lost nor under way", () => {
  const ledger = new Ledger();
  ledger.send("a b", 0);
  ledger.send("a b", 0);
  ledger.settle("a b", 0, "refused");
  ledger.settle("a b", 1, "accepted");
  ledger.receive("a b", 1, 1);
  assert.deepEqual([ledger.refused, ledger.underWay(), ledger.lost(LOST_MS * 9, always)], [1, 0, 0]);
});
