/** Losing the coordinator, the server, or both, and coming back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as codec from "../src/generated/codec.js";
import { RETRY_AFTER_MAX_MS } from "../src/reasons.js";
import { encode } from "../src/wire.js";
import { Driver } from "./driver.js";

const dialled = () => {
  const driver = new Driver().input({ kind: "tick" });
  driver.one("dial");
  return driver;
};

test("a lost signalling socket leaves the peer alone", () => {
  const driver = new Driver().connect(7);
  driver.input({ kind: "signallingClosed", code: 1006 });
  assert.deepEqual(driver.take("closePeer"), []);
  assert.equal(driver.session.status.state, "connected");
  assert.equal(driver.session.status.signalling, false);
  driver.pass(500);
  driver.one("dial");
  driver.welcome(200, [8]);
  assert.deepEqual(driver.take("openPeer"), [], "it has a peer");
  const { state, alias, server, signalling } = driver.session.status;
  assert.deepEqual([state, alias, server, signalling], ["connected", 100, 7, true]);
  assert.equal(driver.publish("a", "x", "unreliable"), "sent");
});

test("without an offer a lost signalling socket ends the attempt", () => {
  const driver = dialled().welcome(100, [7]);
  driver.input({ kind: "signallingClosed", code: 1006 });
  assert.equal(driver.take("closePeer").length, 1);
  driver.pass(500);
  driver.one("dial");
});

test("with an offer the peer may still come up", () => {
  const driver = dialled().welcome(100, [7]).join(7);
  driver.input({ kind: "signallingClosed", code: 1006 }).ready(100);
  assert.equal(driver.session.status.state, "connected");
});

test("waits grow until a peer has lived", () => {
  for (const random of [0, 0.999]) {
    const driver = new Driver({ random: () => random }).input({ kind: "tick" });
    driver.one("dial");
    const waits = [];
    for (let round = 0; round < 20; round += 1) {
      driver.input({ kind: "signallingClosed", code: 1006 });
      const before = driver.now;
      driver.pass(driver.session.deadline - driver.now);
      waits.push(driver.now - before);
      driver.one("dial");
    }
    assert.ok(waits.every((wait) => wait >= 250 && wait <= 15_000));
    assert.equal(Math.round((waits[1] ?? 0) / (waits[0] ?? 1)), 2);
    assert.equal(Math.round((waits.at(-1) ?? 0) / 100), random === 0 ? 75 : 150);
  }
});

test("a coordinator without room says when to come back", () => {
  const driver = dialled();
  const error = { type: 14, code: 8, retryable: true, retry_after_ms: 20_000 };
  driver.signal(encode(codec.writeErrorMessage, error));
  driver.one("hangUp");
  // And not all at the same moment.
  assert.deepEqual(driver.pass(20_249).take("dial"), []);
  driver.pass(251).one("dial");
  driver.signal(encode(codec.writeErrorMessage, { ...error, retry_after_ms: 0xffff_ffff }));
  driver.pass(RETRY_AFTER_MAX_MS + 1_000).one("dial");
});

test("a lost peer is replaced and told everything", () => {
  const driver = new Driver().connect(7, [8]);
  driver.input({ kind: "subscribe", request: 1, topics: ["a", "b"] }).ackAll();
  driver.input({ kind: "peerClosed", peer: driver.peer });
  const { state, error } = driver.session.status;
  assert.deepEqual([state, error?.reason], ["reconnecting", "PeerLost"]);
  driver.pass(500);
  driver.one("hangUp");
  driver.one("dial");
  driver.outputs = [];
  driver.welcome(101, [8]).join(8).ready(101);
  assert.deepEqual(driver.requests()[0]?.topics, ["a", "b"]);
  assert.deepEqual([driver.session.status.alias, driver.session.status.server], [101, 8]);
});

test("a goodbye is believed where trying again is right", () => {
  for (const [code, reason] of [
    [11, "SlowConsumer"],
    [26, "PeerLost"],
    [999, "PeerLost"],
    [0, "PeerLost"],
  ] as const) {
    const driver = new Driver().connect(7, [8]);
    driver.input({ kind: "peerClosed", peer: driver.peer, code });
    const { state, error } = driver.session.status;
    assert.deepEqual([state, error?.reason], ["reconnecting", reason]);
  }
});

test("a peer that dies young does not reset the wait", () => {
  const driver = new Driver().connect(7);
  let wait = 0;
  for (let round = 0; round < 7; round += 1) {
    driver.input({ kind: "peerClosed", peer: driver.peer });
    const before = driver.now;
    driver.pass(driver.session.deadline - driver.now);
    wait = driver.now - before;
    driver.outputs = [];
    driver.welcome(100, [7]).join(7).ready(100);
  }
  assert.ok(wait > 10_000, String(wait));
  driver.pass(5_000);
});

test("a server that says goodbye is left at once and for as long as it asks", () => {
  const driver = new Driver().connect(7);
  driver.error({ code: 9, retryable: true, retry_after_ms: 9_000 });
  assert.deepEqual(driver.pass(9_249).take("dial"), []);
  driver.pass(251).one("dial");
});

test("the first retry after the loss of a working connection comes quickly", () => {
  for (const random of [0, 0.999]) {
    const driver = new Driver({ random: () => random }).input({ kind: "tick" });
    for (let round = 0; round < 5; round += 1) {
      driver.cutSignalling().untilDial();
      driver.outputs = [];
    }
    driver.welcome(100, [7]).join(7).ready(100).live(5_000).losePeer();
    const [least, most] = [250, 500];
    assert.deepEqual(driver.pass(least - 1).take("dial"), []);
    driver.pass(most - least + 1).one("dial");
    driver.cutSignalling();
    assert.ok(driver.session.deadline - driver.now >= 500, "the later ones do not");
  }
});

test("reconnect prefers another server", () => {
  const driver = new Driver().connect(7, [8]).losePeer();
  driver.untilDial();
  // The coordinator has not noticed yet.
  driver.welcome(100, [7, 8]).join(8).ready(100);
  driver.losePeer();
  driver.untilDial();
  driver.welcome(100, []).servers(1, [8, 7]).join(7);
});

test("the only server is tried again though it failed", () => {
  const driver = new Driver().connect(7, [8]).losePeer();
  driver.untilDial();
  driver.welcome(100, [7]).join(7);
});

test("what an old peer says is ignored", () => {
  const driver = new Driver().connect(7);
  const old = driver.peer;
  driver.losePeer().untilDial();
  driver.welcome(100, [8]).join(8);
  const frame = encode(codec.writeReadyMessage, { type: 32, alias: 100 });
  driver.input({ kind: "packet", peer: old, lane: "reliable", frame });
  driver.input({ kind: "peerClosed", peer: old });
  driver.input({ kind: "localSignal", peer: old, signal: "candidate", json: "{}" });
  assert.deepEqual([driver.session.status.step, driver.take("signal")], ["join", []]);
});

test("full servers are skipped then waited for", () => {
  const driver = dialled().welcome(100, [7, 8]);
  const full = (from_alias: number) =>
    driver.signal(
      encode(codec.writeConnectionRefusedMessage, { type: 13, from_alias, reason: 1, code: 10 }),
    );
  driver.outputs = [];
  full(7);
  driver.one("openPeer");
  assert.equal(driver.session.status.server, 8, "the next one at once");
  full(8);
  const { state, error } = driver.session.status;
  assert.deepEqual([state, error?.reason], ["connecting", "ServerFull"]);
  assert.deepEqual(driver.take("dial"), [], "then not without a pause");
  driver.untilDial();
  // The coordinator names no full ones.
  driver.welcome(100, []).pass(3_600_000);
  assert.deepEqual([driver.session.status.step, driver.take("dial")], ["wait", []]);
  driver.servers(1, [7], 2).servers(2, [7]).join(7).ready(100);
  assert.equal(driver.session.status.state, "connected");
});

test("when all are full the shortest of their waits counts", () => {
  const driver = dialled().welcome(100, [7, 8]);
  for (const [server, retry_after_ms] of [
    [7, 20_000],
    [8, 5_000],
  ] as const) {
    driver.join(server).error({ code: 10, retryable: true, retry_after_ms });
  }
  assert.deepEqual(driver.pass(5_249).take("dial"), []);
  driver.pass(251).one("dial");
});

test("a terminal reason stops for good", () => {
  const stops: ((driver: Driver) => unknown)[] = [
    (driver) => driver.cutSignalling(4002),
    (driver) => driver.signal(encode(codec.writeErrorMessage, { type: 14, code: 2 })),
    (driver) => driver.error({ code: 2, text: "no" }),
  ];
  for (const stop of stops) {
    const driver = new Driver().connect(7);
    driver.input({ kind: "subscribe", request: 1, topics: ["a"] });
    driver.publish("a", "x", "unreliable");
    stop(driver);
    const { state, error } = driver.session.status;
    assert.deepEqual([state, error?.reason], ["closed", "Unauthenticated"]);
    assert.equal(driver.one("done").done.error?.reason, "Unauthenticated");
    assert.equal(driver.one("closePeer").peer, driver.peer);
    assert.equal(driver.session.deadline, Number.POSITIVE_INFINITY);
    driver.input({ kind: "nudge" }).pass(3_600_000);
    assert.deepEqual(driver.take("dial"), []);
    driver.input({ kind: "subscribe", request: 3, topics: ["a"] });
    assert.equal(driver.one("done").done.error?.reason, "Unauthenticated");
    assert.throws(() => driver.publish("a", "x"), { reason: "Unauthenticated" });
  }
});

test("a retryable reason comes back", () => {
  const lost = dialled().cutSignalling(4008);
  const { state, error } = lost.session.status;
  assert.deepEqual([state, error?.reason], ["connecting", "Overloaded"]);
  lost.untilDial();
  for (const code of [4, 5, 9, 12, 13, 14, 17]) {
    const driver = new Driver().connect(7).error({ code, retryable: true });
    assert.equal(driver.session.status.state, "reconnecting", String(code));
    driver.untilDial();
    driver.welcome(100, [8]).join(8).ready(100);
    assert.equal(driver.session.status.state, "connected");
  }
});

test("slow consumer is retryable", () => {
  const driver = new Driver().connect(7).error({ code: 11, retryable: true, text: "slow" });
  const { state, error } = driver.session.status;
  assert.deepEqual(
    [state, error?.reason, error?.message],
    ["reconnecting", "SlowConsumer", "slow"],
  );
  driver.untilDial();
  driver.welcome(100, [7]).join(7).ready(100);
  assert.equal(driver.session.status.state, "connected");
});

test("a new alias makes an unfinished peer void", () => {
  const driver = dialled().welcome(100, [7]);
  const { peer } = driver.one("openPeer");
  driver.offer(7).cutSignalling();
  assert.deepEqual(driver.take("closePeer"), [], "it may still come up");
  driver.untilDial();
  driver.welcome(200, [7]);
  assert.equal(driver.one("closePeer").peer, peer);
  driver.join(7).ready(200);
  assert.equal(driver.session.status.alias, 200);
});

test("closing is polite and final", () => {
  const driver = new Driver().connect(7);
  driver.input({ kind: "subscribe", request: 1, topics: ["a"] });
  driver.input({ kind: "close" });
  driver.one("closePeer");
  driver.one("hangUp");
  assert.equal(driver.one("done").done.error?.reason, "Closed");
  driver.input({ kind: "nudge" }).input({ kind: "signallingClosed" }).pass(60_000);
  assert.deepEqual(driver.take("dial"), []);
});
