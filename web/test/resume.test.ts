/** Coming back under the same alias, and being told that somebody else did. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as codec from "../src/generated/codec.js";
import { encode, utf8 } from "../src/wire.js";
import { Driver } from "./driver.js";

/** Connected to server 7 as alias 100, for long enough, with a token. */
const connectedWithToken = () => {
  const driver = new Driver().connect(7, [8], "t0ken").live(60_000);
  driver.outputs = [];
  return driver;
};

const replaced = encode(codec.writeReplacedMessage, { type: 39 });

test("a resume token is shown at every later dial", () => {
  const driver = new Driver().input({ kind: "tick" });
  assert.equal(driver.one("dial").resume, undefined);
  driver.welcome(100, [7], true, "t0ken").join(7).ready(100);
  for (let round = 0; round < 2; round += 1) {
    assert.equal(driver.cutSignalling().untilDial().resume, "t0ken");
  }
  assert.equal(driver.session.resumeToken, "t0ken");
  driver.welcome(100, [7], true, "newer").cutSignalling();
  assert.equal(driver.untilDial().resume, "newer");
  // The last WELCOME counts, also when it gives none.
  driver.welcome(100, [7]).cutSignalling();
  assert.equal(driver.untilDial().resume, undefined);
});

test("a resume token that fits into no header is not shown", () => {
  const longest = "x".repeat(4_096);
  for (const [token, shown] of [
    ["a.B-c_1", true],
    ["a b", false],
    ["a,b", false],
    ["a\r\nb", false],
    ["a\n", false],
    ["ä", false],
    [longest, true],
    [`${longest}x`, false],
  ] as const) {
    const driver = new Driver().input({ kind: "tick" });
    driver.one("dial");
    driver.welcome(100, [7], true, token).cutSignalling();
    assert.equal(driver.untilDial().resume, shown ? token : undefined, JSON.stringify(token));
    assert.equal(driver.session.stats.ignored.malformed, shown ? 0 : 1);
  }
});

test("a fresh alias while a peer lives changes nothing for the peer", () => {
  const driver = connectedWithToken().cutSignalling();
  driver.untilDial();
  driver.welcome(200, [8], true, "other");
  for (const kind of ["openPeer", "closePeer", "signal", "send"] as const) {
    assert.deepEqual(driver.take(kind), []);
  }
  const { state, alias, server } = driver.session.status;
  assert.deepEqual([state, alias, server], ["connected", 100, 7]);
  assert.equal(driver.publish("t", "x"), "sent");

  // The next server knows us by the new one.
  driver.losePeer();
  assert.equal(driver.untilDial().resume, "other");
  driver.welcome(200, [8], true, "other").join(8).ready(0);
  assert.deepEqual([driver.session.status.alias, driver.session.status.server], [200, 8]);
});

test("replaced means forget the token and join afresh", () => {
  const losses: ((driver: Driver) => unknown)[] = [
    (driver) => driver.signal(replaced),
    // The message got lost, the close code did not.
    (driver) => driver.cutSignalling(4016),
    // The server has heard it first: the other one has a peer already.
    (driver) => driver.error({ code: 16, retryable: true }),
  ];
  for (const lose of losses) {
    const driver = connectedWithToken();
    driver.input({ kind: "subscribe", request: 1, topics: ["a"] }).ackAll();
    lose(driver);
    assert.equal(driver.one("closePeer").peer, driver.peer);
    const { state, error } = driver.session.status;
    assert.deepEqual([state, error?.reason], ["reconnecting", "Replaced"]);
    assert.equal(driver.session.resumeToken, undefined);
    assert.equal(driver.publish("t", "x"), "queued");
    assert.deepEqual(driver.take("dial"), [], "not without a pause");

    assert.equal(driver.untilDial().resume, undefined);
    driver.welcome(200, [7], true, "fresh").join(7).ready(200);
    assert.equal(driver.session.status.alias, 200);
    const [subscribe, publication] = driver.sent();
    assert.deepEqual([subscribe?.type, publication?.type], [34, 9]);
    assert.equal(driver.session.resumeToken, "fresh");
  }
});

test("replaced while connecting ends the attempt", () => {
  const driver = new Driver().input({ kind: "tick" });
  driver.one("dial");
  driver.welcome(100, [7, 8], true, "t0ken").join(7).signal(replaced);
  assert.equal(driver.one("closePeer").peer, driver.peer);
  assert.equal(driver.session.status.error?.reason, "Replaced");
  assert.deepEqual(driver.take("openPeer"), [], "the fallback is for the other one");
  assert.equal(driver.untilDial().resume, undefined);
});

test("peer gone about us redials signalling and keeps the peer", () => {
  const driver = connectedWithToken().peerGone(100);
  driver.one("hangUp");
  // Once is enough.
  driver.peerGone(100);
  assert.deepEqual(driver.take("hangUp"), []);
  assert.equal(driver.publish("t", "x"), "sent");
  assert.ok(driver.session.deadline - driver.now <= 500);
  assert.equal(driver.untilDial().resume, "t0ken");
  driver.welcome(100, [8], true, "t0ken");
  // That is the news about the session that we have just left.
  driver.peerGone(100).pass(4_999).peerGone(100);
  assert.deepEqual([driver.take("hangUp"), driver.take("closePeer")], [[], []]);
  const { state, alias, server, signalling } = driver.session.status;
  assert.deepEqual([state, alias, server, signalling], ["connected", 100, 7, true]);
  assert.equal(driver.session.stats.ignored.stray, 3);
  driver.pass(1).peerGone(100).one("hangUp");
});

test("peer gone about a former session of ours is ignored", () => {
  const driver = connectedWithToken().cutSignalling();
  driver.untilDial();
  // The peer lives under the old alias; the session under the new one is well.
  driver.welcome(200, [8], true, "other").pass(5_000).peerGone(100);
  assert.deepEqual(driver.take("hangUp"), []);
  assert.equal(driver.session.stats.ignored.stray, 1);
});

test("peer gone about another is ignored", () => {
  const driver = connectedWithToken().peerGone(101);
  assert.deepEqual([driver.take("hangUp"), driver.take("closePeer")], [[], []]);
  assert.equal(driver.session.stats.ignored.stray, 1);
});

test("who comes back does not hear itself", () => {
  const driver = connectedWithToken();
  driver.input({ kind: "subscribe", request: 1, topics: ["t"] });
  for (const [from_alias, heard] of [
    [100, 0],
    [101, 1],
  ] as const) {
    driver.packet(codec.writeTopicFwMessage, { type: 10, from_alias, topic: "t", body: utf8("x") });
    assert.equal(driver.take("message").length, heard);
  }
  assert.equal(driver.session.stats.ignored.ownEcho, 1);
});

test("losing both takes the dial that is under way", () => {
  const driver = connectedWithToken().cutSignalling();
  driver.untilDial();
  driver.losePeer();
  assert.deepEqual(driver.take("hangUp"), []);
  driver.welcome(100, [7, 8], true, "t0ken").join(8);
});
