import assert from "node:assert/strict";
import { test } from "node:test";
import * as codec from "../src/generated/codec.js";
import { REQUEST_TIMEOUT_MS } from "../src/subscriptions.js";
import { decode, text, utf8 } from "../src/wire.js";
import { Driver } from "./driver.js";

const ask = (
  driver: Driver,
  kind: "subscribe" | "unsubscribe",
  request: number,
  topics: string[],
) => driver.input({ kind, request, topics });

/** How the requests ended: number and reason, or "ok". */
const ended = (driver: Driver) =>
  driver.take("done").map(({ done }) => [done.request, done.error?.reason ?? "ok"]);

const topicsSent = (driver: Driver) => driver.requests().map(({ topics }) => topics);

test("subscribe goes out with an id and ends with its ACK", () => {
  const driver = ask(new Driver().connect(7), "subscribe", 1, ["a", "b"]);
  const [request] = driver.requests();
  assert.deepEqual([request?.type, request?.topics], [34, ["a", "b"]]);
  assert.deepEqual(ended(driver), []);
  driver.ack(request?.id ?? 0);
  assert.deepEqual(ended(driver), [[1, "ok"]]);
  assert.equal(
    driver.ack(request?.id ?? 0).session.stats.ignored.stray,
    1,
    "a second ACK is a stray",
  );
});

test("unsubscribe is a request like any other", () => {
  const driver = ask(new Driver().connect(7), "subscribe", 1, ["a", "b"]).ackAll();
  ask(driver, "unsubscribe", 2, ["a"]);
  const [request] = driver.requests();
  assert.deepEqual([request?.type, request?.topics], [35, ["a"]]);
  driver.ack(request?.id ?? 0);
  assert.deepEqual(ended(driver), [
    [1, "ok"],
    [2, "ok"],
  ]);
});

test("what is asked without a server waits for one", () => {
  const driver = ask(new Driver(), "subscribe", 1, ["a"]);
  ask(driver, "subscribe", 2, ["b"]);
  assert.deepEqual(ended(driver), []);
  driver.connect(7).ackAll();
  assert.deepEqual(ended(driver), [
    [1, "ok"],
    [2, "ok"],
  ]);
});

test("unsubscribing without a server ends both requests", () => {
  const driver = ask(new Driver(), "subscribe", 1, ["a"]);
  ask(driver, "unsubscribe", 2, ["a"]);
  assert.deepEqual(ended(driver), [[2, "ok"]]);
  driver.connect(7);
  assert.deepEqual(driver.requests(), []);
  assert.deepEqual(ended(driver), [[1, "ok"]]);
});

test("of what waits, only what is still wanted is asked for", () => {
  const driver = ask(new Driver(), "subscribe", 1, ["a", "b"]);
  ask(driver, "unsubscribe", 2, ["a"]);
  assert.deepEqual(topicsSent(driver.connect(7)), [["b"]]);
});

test("a new server is told everything, and answers what still waits", () => {
  const driver = ask(new Driver().connect(7), "subscribe", 1, ["a", "b"]).ackAll();
  ask(driver, "subscribe", 2, ["c"]);
  ended(driver);
  driver.input({ kind: "peerClosed", peer: driver.peer }).pass(500);
  driver.outputs = [];
  driver.welcome(101, [8]).join(8).ready(101);
  const requests = driver.requests();
  assert.deepEqual(
    requests.map(({ topics }) => topics),
    [["a", "b"], ["c"]],
  );
  for (const { id } of requests) driver.ack(id);
  assert.deepEqual(ended(driver), [[2, "ok"]]);
});

test("an ERROR rejects, and the topics are wanted no more", () => {
  const driver = ask(new Driver().connect(7), "subscribe", 1, ["a"]).ackAll();
  ask(driver, "subscribe", 2, ["b", "c"]);
  const [request] = driver.requests();
  driver.error({ code: 102, id: request?.id ?? 0, topic: "c" });
  assert.deepEqual(ended(driver), [
    [1, "ok"],
    [2, "TooManySubscriptions"],
  ]);
  const [undo] = driver.requests();
  assert.deepEqual(
    [undo?.type, undo?.topics],
    [35, ["b", "c"]],
    "it may have taken a part of them",
  );
  driver.input({ kind: "peerClosed", peer: driver.peer }).pass(500);
  driver.outputs = [];
  driver.welcome(101, [8]).join(8).ready(101);
  assert.deepEqual(topicsSent(driver), [["a"]]);
});

test("a topic that was confirmed before survives a failed request for it", () => {
  const driver = ask(new Driver().connect(7), "subscribe", 1, ["a"]).ackAll();
  ask(driver, "subscribe", 2, ["a", "b"]);
  driver.error({ code: 108, id: driver.requests()[0]?.id ?? 0, retryable: true });
  assert.deepEqual(topicsSent(driver), [["b"]], "only b is undone");
});

test("without an answer a request fails in its time", () => {
  const driver = ask(new Driver().connect(7), "subscribe", 1, ["a"]);
  const hear = () => driver.ack(0);
  for (let second = 1; second < REQUEST_TIMEOUT_MS / 1_000; second += 1) {
    driver.pass(1_000);
    hear();
  }
  assert.deepEqual(ended(driver), []);
  driver.pass(1_000);
  assert.deepEqual(ended(driver), [[1, "RequestTimeout"]]);
});

test("topics that the next server cannot take just now are tried again", () => {
  const driver = ask(new Driver().connect(7), "subscribe", 1, ["a"]).ackAll();
  driver.input({ kind: "peerClosed", peer: driver.peer }).pass(500);
  driver.outputs = [];
  driver.welcome(101, [8]).join(8).ready(101);
  const [request] = driver.requests();
  driver.error({ code: 108, id: request?.id ?? 0, retryable: true, retry_after_ms: 3_000 });
  assert.equal(driver.one("error").error.reason, "TooManyTopics");
  assert.deepEqual(driver.pass(2_999).requests(), []);
  assert.deepEqual(topicsSent(driver.pass(1)), [["a"]]);
});

test("a topic that the next server refuses for good is given up, the others are not", () => {
  const driver = ask(new Driver().connect(7), "subscribe", 1, ["a", "b"]).ackAll();
  driver.input({ kind: "peerClosed", peer: driver.peer }).pass(500);
  driver.outputs = [];
  driver.welcome(101, [8]).join(8).ready(101);
  driver.error({ code: 101, id: driver.requests()[0]?.id ?? 0, topic: "a" });
  driver.pass(0);
  assert.deepEqual(topicsSent(driver), [["b"]]);
});

const MAX = 20;

test("bad topics and too many reject at once", () => {
  const driver = ask(new Driver({ subscriptionsMax: MAX }).connect(7), "subscribe", 1, ["a b"]);
  const many = Array.from({ length: MAX - 1 }, (_, index) => `t${index}`);
  ask(driver, "subscribe", 2, many).ackAll();
  ask(driver, "subscribe", 3, ["last"]).ackAll();
  ask(driver, "subscribe", 4, ["last"]).ackAll();
  ask(driver, "subscribe", 5, ["one more"]);
  ask(driver, "subscribe", 6, ["onemore"]);
  assert.deepEqual(ended(driver), [
    [1, "BadTopic"],
    [2, "ok"],
    [3, "ok"],
    [4, "ok"],
    [5, "BadTopic"],
    [6, "TooManySubscriptions"],
  ]);
});

test("a long list is split below the packet limit, and ends with its last part", () => {
  const driver = new Driver();
  driver.input({ kind: "tick" }).one("dial");
  driver.welcome(100, [7]).join(7).ready(100, 512);
  ask(
    driver,
    "subscribe",
    1,
    Array.from({ length: 40 }, (_, index) => `topic/${index}`.padEnd(60, "x")),
  );
  const sent = driver.sent();
  assert.ok(sent.length > 4 && sent.every(({ frame }) => frame.length <= 512));
  for (let id = 1; id < sent.length; id += 1) driver.ack(id);
  assert.deepEqual(ended(driver), []);
  driver.ack(sent.length);
  assert.deepEqual(ended(driver), [[1, "ok"]]);
});

test("messages on a topic end with its subscription", () => {
  const driver = ask(new Driver().connect(7), "subscribe", 1, ["a", "b"]).ackAll();
  ask(driver, "unsubscribe", 2, ["a"]);
  for (const topic of ["a", "b", ""]) {
    driver.packet(codec.writeTopicFwMessage, { type: 10, from_alias: 9, topic });
  }
  assert.deepEqual(
    driver.take("message").map(({ packet }) => packet.topic),
    ["b", ""],
    "a server of 2019 names none",
  );
  assert.equal(driver.session.stats.ignored.unwanted, 1);
});

test("towards a 2019 server the whole set goes out at each change, and that is the answer", () => {
  const driver = new Driver();
  driver.input({ kind: "tick" }).one("dial");
  driver.welcome(100, [7]).join(7).readyOf2019();
  driver.sent();
  ask(driver, "subscribe", 1, ["a"]);
  ask(driver, "subscribe", 2, ["b"]);
  ask(driver, "unsubscribe", 3, ["a"]);
  assert.deepEqual(
    driver.sent().map(({ type }) => type),
    [7, 7, 7],
  );
  assert.deepEqual(ended(driver), [
    [1, "ok"],
    [2, "ok"],
    [3, "ok"],
  ]);
  const long = Array.from({ length: 30 }, (_, index) => `${index}`.padEnd(200, "x"));
  ask(driver, "subscribe", 4, long);
  assert.deepEqual(ended(driver), [[4, "PacketTooLarge"]]);
  assert.deepEqual(driver.sent(), []);
  ask(driver, "subscribe", 5, ["c"]);
  const { topics } = decode(codec.readSubscriptionMessage, driver.sent()[0]?.frame ?? utf8(""));
  assert.equal(text(topics ?? utf8("")), "b c", "what was wanted before still is");
});
