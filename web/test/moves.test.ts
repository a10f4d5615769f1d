/** Being asked to go to another server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Driver } from "./driver.js";

/** Connected to server 7 as alias 100, subscribed to "a", with `random` for what is drawn. */
function connected(random = 0.5): Driver {
  const driver = new Driver({ random: () => random }).connect(7, [8], "t0ken");
  driver.input({ kind: "subscribe", request: 1, topics: ["a"] }).ackAll();
  driver.outputs = [];
  return driver;
}

const stands = (driver: Driver) => {
  const { state, alias, server } = driver.session.status;
  return [state, alias, server];
};

test("migrate waits a random part then moves with alias and subscriptions", () => {
  for (const [random, waitMs] of [
    [0, 0],
    [0.25, 2_500],
    [0.999, 9_990],
  ] as const) {
    const driver = connected(random).migrate(10_000);
    if (waitMs > 0) driver.live(waitMs - 1);
    assert.deepEqual(driver.take("dial"), []);
    driver.live(1).one("hangUp");
    assert.equal(driver.one("dial").resume, "t0ken");
    assert.deepEqual(stands(driver), ["connected", 100, 7], "the peer stays meanwhile");
    assert.equal(driver.publish("a", "1"), "sent");
    driver.outputs = [];

    driver.welcome(100, [8, 9], true, "t0ken").echo();
    assert.equal(driver.one("closePeer").peer, driver.peer);
    const { state, failures, error } = driver.session.status;
    assert.deepEqual([state, failures, error?.reason], ["reconnecting", 0, "ShuttingDown"]);
    assert.equal(driver.publish("a", "2"), "queued");
    driver.join(8).ready(100);
    assert.deepEqual(stands(driver), ["connected", 100, 8]);
    const [subscribe, publication] = driver.sent();
    assert.deepEqual([subscribe?.type, publication?.type], [34, 9]);
    assert.deepEqual([driver.session.stats.moves, driver.session.stats.connects], [1, 2]);
    driver.live(60_000);
    assert.deepEqual(driver.take("dial"), [], "once");
  }
});

test("migrate with nowhere to go stays", () => {
  for (const named of [[], [7]]) {
    const driver = connected().migrate(1_000);
    driver.live(500).one("dial");
    driver.welcome(100, named, true, "t0ken");
    driver.live(60_000);
    assert.deepEqual(stands(driver), ["connected", 100, 7]);
    assert.deepEqual([driver.take("closePeer"), driver.take("dial")], [[], []]);
    driver.servers(1, [7]).servers(2, [7, 9], 3);
    assert.deepEqual(stands(driver), ["connected", 100, 7], "draining ones are none");
    driver.servers(3, [7, 9]);
    assert.equal(driver.one("closePeer").peer, driver.peer);
    driver.outputs = driver.outputs.filter(({ kind }) => kind === "openPeer" || kind === "signal");
    driver.join(9).ready(100);
    assert.deepEqual(stands(driver), ["connected", 100, 9]);
  }
});

test("who is not asked to go stays whatever is named", () => {
  const driver = connected().cutSignalling();
  driver.untilDial();
  driver.welcome(100, [8], true, "t0ken").servers(1, [8, 9]);
  assert.deepEqual(stands(driver), ["connected", 100, 7]);
});

test("migrate twice moves once", () => {
  const driver = connected().migrate(10_000);
  driver.live(2_000).migrate(1_000);
  driver.live(2_999);
  assert.deepEqual(driver.take("dial"), [], "the first one counts");
  driver.live(1).one("dial");
  driver.migrate(0).pass(0);
  assert.deepEqual(driver.take("dial"), []);
  driver.welcome(100, [8], true, "t0ken");
  driver.outputs = driver.outputs.filter(({ kind }) => kind === "openPeer" || kind === "signal");
  const old = driver.peer;
  driver.join(8).ready(100);
  const frame = Uint8Array.of(8, 40);
  driver.input({ kind: "packet", peer: old, lane: "reliable", frame });
  driver.live(60_000);
  assert.deepEqual([driver.take("dial"), driver.take("closePeer")], [[], []]);
  assert.deepEqual([driver.session.stats.moves, driver.session.stats.ignored.repeated], [1, 2]);
});

test("a server that asks again later is heard again", () => {
  const driver = connected(0).migrate(1_000).pass(0);
  driver.one("dial");
  driver.welcome(100, [], true, "t0ken");
  driver.live(4_999).migrate(1_000).pass(0);
  assert.deepEqual(driver.take("dial"), []);
  driver.live(1).migrate(1_000).pass(0);
  driver.one("dial");
});

test("a server that closes during the move is left at once", () => {
  const driver = connected(0).migrate(1_000).pass(0);
  driver.one("hangUp");
  driver.one("dial");
  // It asks everybody to come back in a while; that is not about the others.
  driver.error({ code: 9, retryable: true, retry_after_ms: 7_000 });
  assert.equal(driver.one("closePeer").peer, driver.peer);
  assert.deepEqual(driver.take("hangUp"), [], "the dial under way is not given up for another");
  driver.welcome(100, [7, 8], true, "t0ken").join(8).ready(100);
  assert.deepEqual(stands(driver), ["connected", 100, 8]);
});

test("a server that closes before it is left is a lost one", () => {
  const driver = connected().migrate(60_000);
  driver.live(10_000).losePeer();
  assert.ok(driver.session.deadline - driver.now <= 500);
  driver.untilDial();
  driver.welcome(100, [7, 8], true, "t0ken").join(8);
  driver.ready(100).live(60_000);
  assert.deepEqual(stands(driver), ["connected", 100, 8]);
  assert.deepEqual([driver.take("dial"), driver.session.stats.moves], [[], 0]);
});

test("migrate while signalling is down moves when it is back", () => {
  for (const within of [0, 10_000]) {
    const driver = connected().cutSignalling().migrate(within);
    // Whichever comes first, the dial or the end of the wait: it is dialled once.
    driver.live(within / 2 + 1_000).one("dial");
    assert.deepEqual(stands(driver), ["connected", 100, 7]);
    driver.welcome(100, [8, 7], true, "t0ken").join(8).ready(100);
    assert.deepEqual(stands(driver), ["connected", 100, 8]);
  }
});

test("a dial that fails during the move is tried again", () => {
  const driver = connected(0).migrate(1_000).pass(0);
  for (let round = 0; round < 3; round += 1) {
    driver.untilDial();
    driver.cutSignalling();
  }
  assert.deepEqual(stands(driver), ["connected", 100, 7]);
  driver.untilDial();
  driver.welcome(100, [8], true, "t0ken").join(8);
});

test("a move that fails goes on to find a server", () => {
  const driver = connected(0).migrate(1_000).pass(0);
  driver.one("dial");
  driver.outputs = [];
  driver.welcome(100, [8, 9, 7], true, "t0ken");
  for (const server of [8, 9]) {
    driver.peer = driver.one("openPeer").peer;
    driver.offer(server).losePeer();
  }
  // The old one is not asked again without the coordinator's word.
  assert.deepEqual(driver.take("openPeer"), []);
  assert.equal(driver.untilDial().resume, "t0ken");
  driver.welcome(100, [7], true, "t0ken").join(7).ready(100);
  assert.deepEqual(stands(driver), ["connected", 100, 7]);
});
