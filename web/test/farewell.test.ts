/** Leaving a server for another one, once it has all that was published. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as codec from "../src/generated/codec.js";
import { MessageType } from "../src/generated/codec.js";
import { decode, text, utf8 } from "../src/wire.js";
import { Driver } from "./driver.js";

/** Another server is found, while a publication is on its way to the old one. */
function leaving(): { driver: Driver; ping: Uint8Array } {
  const driver = new Driver({ random: () => 0 }).connect(7, [8], "t0ken");
  driver.live(10_000).migrate(1_000).pass(0).one("dial");
  assert.equal(driver.publish("t", "1"), "sent");
  driver.outputs = [];
  driver.welcome(100, [7, 8], true, "t0ken");
  const { lane, frame } = driver.one("send");
  assert.equal(lane, "reliable");
  assert.equal(decode(codec.readPingMessage, frame).type, MessageType.PING);
  assert.deepEqual(stands(driver), ["connected", 7]);
  assert.deepEqual(driver.take("closePeer"), []);
  return { driver, ping: frame };
}

const stands = (driver: Driver) => [driver.session.status.state, driver.session.status.server];

const echo = (driver: Driver, frame: Uint8Array) =>
  driver.input({ kind: "packet", peer: driver.peer, lane: "reliable", frame });

/** The old peer is left, and another server asked. */
function assertMoves(driver: Driver, server = 8): void {
  assert.equal(driver.one("closePeer").peer, driver.peer);
  assert.deepEqual(stands(driver), ["reconnecting", server]);
  driver.outputs = driver.outputs.filter(({ kind }) => kind === "openPeer" || kind === "signal");
}

const bodies = (driver: Driver) =>
  driver
    .sent()
    .filter(({ type }) => type === MessageType.TOPIC)
    .map(({ frame }) => text(decode(codec.readTopicMessage, frame).body ?? utf8("")));

test("a server is left when it has everything", () => {
  const { driver, ping } = leaving();
  // Whatever comes after the question would not be covered by the answer.
  assert.equal(driver.publish("t", "2"), "queued");
  assert.equal(driver.publish("t", "-", "unreliable"), "sent");
  driver.packet(codec.writePingMessage, { type: 6, time: driver.now });
  assert.deepEqual(driver.take("closePeer"), [], "that was the echo of another");
  driver.outputs = [];
  echo(driver, ping);
  assertMoves(driver);
  driver.join(8).ready(100);
  assert.deepEqual(bodies(driver), ["2"]);
  assert.equal(driver.session.stats.moves, 1);
});

test("a server that does not say that it has everything is left in time", () => {
  const { driver } = leaving();
  driver.pass(1_999);
  assert.deepEqual(driver.take("closePeer"), []);
  driver.pass(1);
  assertMoves(driver);
});

test("who loses the coordinator while leaving stays", () => {
  const { driver, ping } = leaving();
  assert.equal(driver.publish("t", "2"), "queued");
  driver.cutSignalling();
  assert.deepEqual(bodies(driver), ["2"]);
  assert.equal(driver.publish("t", "3"), "sent");
  // The answer is about another question now.
  echo(driver, ping).live(2_000);
  assert.deepEqual(stands(driver), ["connected", 7]);

  driver.untilDial();
  driver.welcome(100, [8], true, "t0ken");
  echo(driver, driver.one("send").frame);
  assertMoves(driver);
});

test("a server that closes while it is left costs no dial", () => {
  const { driver } = leaving();
  driver.error({ code: 9, retryable: true, retry_after_ms: 7_000 });
  assertMoves(driver);
  assert.deepEqual([driver.take("dial"), driver.take("hangUp")], [[], []]);
  assert.equal(driver.session.stats.moves, 0);
});

test("newer servers take the place of those found before", () => {
  const { driver, ping } = leaving();
  driver.servers(1, [7]).pass(1).servers(2, [9, 7]);
  echo(driver, ping);
  assertMoves(driver, 9);
});
