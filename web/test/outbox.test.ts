import assert from "node:assert/strict";
import { test } from "node:test";
import type { Overflow } from "../src/api.js";
import * as codec from "../src/generated/codec.js";
import { COUNTED_TOPICS_MAX, Outbox } from "../src/outbox.js";
import { RELIABLE_BUFFERED_MAX } from "../src/outgoing.js";
import { decode, text, utf8 } from "../src/wire.js";
import { Driver } from "./driver.js";

const topicOf = (frame: Uint8Array) => decode(codec.readTopicMessage, frame);

test("seq counts from 1 per topic and lane", () => {
  const driver = new Driver().connect(7);
  driver.publish("a", "1");
  driver.publish("a", "2");
  driver.publish("b", "3");
  driver.publish("a", "4", "unreliable");
  driver.publish("a", "5", "reliable", true);
  const seqs = driver.sent().map(({ lane, frame, type }) => {
    const read = type === 11 ? codec.readTopicIdentityMessage : codec.readTopicMessage;
    const { topic, seq } = decode<{ topic: string; seq: number }>(read, frame);
    return `${lane} ${topic} ${seq}`;
  });
  assert.deepEqual(seqs, [
    "reliable a 1",
    "reliable a 2",
    "reliable b 1",
    "unreliable a 1",
    "reliable a 3",
  ]);
});

test("a dropped or refused publication takes no number", () => {
  const driver = new Driver({ queue: { countMax: 1 } });
  assert.equal(driver.publish("a", "x", "unreliable"), "dropped");
  assert.equal(driver.publish("a", "x"), "queued");
  assert.throws(() => driver.publish("a", "x"), { reason: "QueueFull" });
  driver.connect(7);
  driver.publish("a", "x");
  driver.publish("a", "x", "unreliable");
  const seqs = driver.sent().map(({ frame }) => topicOf(frame).seq);
  assert.deepEqual(seqs, [1, 2, 1]);
});

test("topics beyond the bound are sent uncounted", () => {
  const outbox = new Outbox({ countMax: 1, bytesMax: 1, overflow: "rejectNew" });
  const publish = (topic: string) => {
    const { seq } = topicOf(outbox.encode(topic, "reliable", utf8("x"), false));
    outbox.accept(topic, "reliable");
    return seq;
  };
  for (let topic = 0; topic < COUNTED_TOPICS_MAX; topic += 1) assert.equal(publish(`${topic}`), 1);
  assert.equal(publish("one more"), 0);
  assert.equal(publish("one more"), 0);
  assert.equal(publish("0"), 2);
});

/** Publishes one character bodies before there is a server; which arrive, and how it went. */
function offline(overflow: Overflow, limits: object, bodies: string) {
  const driver = new Driver({ queue: { overflow, ...limits } });
  const results = [...bodies].map((body) => {
    try {
      return driver.publish("a", body);
    } catch (error) {
      return String((error as { reason?: string }).reason);
    }
  });
  driver.connect(7);
  const arrived = driver.sent().map(({ frame }) => text(topicOf(frame).body ?? utf8("")));
  return { results, arrived: arrived.join(""), driver };
}

test("the queue overflows as chosen reject new", () => {
  const { results, arrived } = offline("rejectNew", { countMax: 3 }, "1234");
  assert.deepEqual(results, ["queued", "queued", "queued", "QueueFull"]);
  assert.equal(arrived, "123");
});

test("the queue overflows as chosen drop oldest", () => {
  const { results, arrived, driver } = offline("dropOldest", { countMax: 3 }, "12345");
  assert.deepEqual(results, Array(5).fill("queued"));
  assert.equal(arrived, "345");
  assert.equal(driver.session.stats.dropped.oldest, 2);
});

test("the queue is bounded in bytes: at the limit, one below, one above", () => {
  const size = new Outbox({ countMax: 9, bytesMax: 9, overflow: "rejectNew" }).encode(
    "a",
    "reliable",
    utf8("x"),
    false,
  ).length;
  for (const [bytesMax, fit] of [
    [3 * size - 1, 2],
    [3 * size, 3],
    [3 * size + 1, 3],
  ] as const) {
    assert.equal(offline("rejectNew", { bytesMax }, "1234").arrived.length, fit);
    assert.equal(offline("dropOldest", { bytesMax }, "1234").arrived, "1234".slice(-fit));
  }
  const driver = new Driver({ queue: { overflow: "dropOldest", bytesMax: 2 * size } });
  driver.publish("a", "1");
  assert.throws(() => driver.publish("a", "x".repeat(2 * size)), { reason: "QueueFull" });
  assert.equal(driver.session.queued.count, 1, "what can never fit drives nothing out");
  const never = offline("dropOldest", { bytesMax: size - 1 }, "1");
  assert.deepEqual(never.results, ["QueueFull"]);
});

test("the queue overflows as chosen fail", () => {
  assert.deepEqual(offline("rejectNew", { countMax: 0 }, "1").results, ["QueueFull"]);
});

test("publications wait in order while away", () => {
  const driver = new Driver().connect(7);
  driver.publish("a", "1");
  driver.losePeer();
  assert.equal(driver.publish("a", "2"), "queued");
  driver.untilDial();
  assert.equal(driver.publish("b", "3"), "queued");
  driver.welcome(100, [8]).join(8);
  assert.equal(driver.publish("a", "4", "reliable", true), "queued", "before READY");
  assert.equal(driver.publish("a", "x", "unreliable"), "dropped");
  driver.ready(100);
  assert.equal(driver.publish("a", "5"), "sent");
  const sent = driver.sent().map(({ type, frame }) => {
    const read = type === 11 ? codec.readTopicIdentityMessage : codec.readTopicMessage;
    const publication = decode<Pick<codec.TopicMessage, "topic" | "seq" | "body">>(read, frame);
    return `${publication.topic} ${publication.seq} ${text(publication.body ?? utf8(""))}`;
  });
  assert.deepEqual(sent, ["a 2 2", "b 1 3", "a 3 4", "a 4 5"]);
});

test("packets are checked against READY's limit: one below, at, one above", () => {
  const driver = new Driver();
  driver.input({ kind: "tick" }).one("dial");
  driver.welcome(100, [7]).join(7).ready(100, 100);
  driver.publish("a", "x".repeat(80));
  const overhead = (driver.sent()[0]?.frame.length ?? 0) - 80;
  assert.equal(driver.publish("a", "x".repeat(100 - overhead - 1)), "sent");
  assert.equal(driver.publish("a", "x".repeat(100 - overhead)), "sent");
  const larger = "x".repeat(100 - overhead + 1);
  assert.throws(() => driver.publish("a", larger), { reason: "PacketTooLarge" });
});

test("what was queued for a larger limit is dropped, counted and told", () => {
  const driver = new Driver();
  driver.publish("a", "x".repeat(200));
  driver.publish("a", "small");
  driver.input({ kind: "tick" }).one("dial");
  driver.welcome(100, [7]).join(7).ready(100, 100);
  assert.equal(driver.sent().length, 1);
  assert.equal(driver.session.stats.dropped.tooLarge, 1);
  assert.equal(driver.one("error").error.reason, "PacketTooLarge");
});

test("reliable publications wait while the channel holds back too much", () => {
  const driver = new Driver().connect(7);
  driver.input({ kind: "buffered", lane: "reliable", bytes: RELIABLE_BUFFERED_MAX });
  assert.equal(driver.publish("a", "1"), "sent", "at the bound");
  assert.equal(driver.publish("a", "2"), "queued", "above it");
  driver.input({ kind: "buffered", lane: "reliable", bytes: 0 });
  assert.equal(driver.publish("a", "3"), "sent");
  const bodies = driver.sent().map(({ frame }) => text(topicOf(frame).body ?? utf8("")));
  assert.deepEqual(bodies, ["1", "2", "3"]);
});

test("unreliable publications are dropped while the channel holds back too much", () => {
  const driver = new Driver().connect(7);
  driver.publish("a", "x", "unreliable");
  const size = driver.sent()[0]?.frame.length ?? 0;
  driver.input({ kind: "buffered", lane: "unreliable", bytes: 1_000 - size });
  assert.equal(driver.publish("a", "x", "unreliable"), "sent", "up to the bound");
  driver.input({ kind: "buffered", lane: "unreliable", bytes: 1_001 - size });
  assert.equal(driver.publish("a", "x", "unreliable"), "dropped");
  assert.equal(driver.session.stats.dropped.buffered, 1);
});

test("bad topics throw before anything is sent", () => {
  const driver = new Driver().connect(7);
  for (const topic of [
    "",
    "a b",
    "a\u00a0b",
    "ab\n",
    "a\u0085",
    "$to/1",
    "\ud800",
    "x".repeat(257),
  ]) {
    assert.throws(() => driver.publish(topic, "x"), { reason: "BadTopic" }, JSON.stringify(topic));
  }
  for (const topic of ["a", "a$b", "größe", "日本", "+", "x".repeat(256), "é".repeat(128)]) {
    assert.equal(driver.publish(topic, "x"), "sent", topic);
  }
  assert.throws(() => driver.publish("é".repeat(129), "x"), { reason: "BadTopic" });
});

test("closing counts what was left in the queue", () => {
  const driver = new Driver();
  driver.publish("a", "x");
  driver.input({ kind: "close" });
  assert.equal(driver.session.stats.dropped.closed, 1);
});
