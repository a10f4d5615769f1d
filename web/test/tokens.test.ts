/** Tokens that run out: the application is asked for each. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as codec from "../src/generated/codec.js";
import { MessageType } from "../src/generated/codec.js";
import { decode, text, utf8 } from "../src/wire.js";
import { Driver } from "./driver.js";

/** A session that asks, and has just begun. */
const asking = () => new Driver({ token: undefined }).input({ kind: "tick" });

const answer = (driver: Driver, question: number, token: string) =>
  driver.input({ kind: "token", question, token });

const fail = (driver: Driver, question: number) =>
  driver.input({ kind: "tokenFailed", question, why: "offline" });

/** Answers the question that there must be. Returns what is shown at the dial. */
function dial(driver: Driver, token: string): string {
  answer(driver, driver.one("askToken").question, token);
  return driver.one("dial").token;
}

/** Up to both lanes open; whether AUTH can be sent then is what the tests are about. */
function reachLanes(driver: Driver, server: number): Driver {
  driver.peer = driver.one("openPeer").peer;
  driver.offer(server);
  for (const lane of ["reliable", "unreliable"] as const) {
    driver.input({ kind: "laneOpened", peer: driver.peer, lane });
  }
  return driver;
}

/** The token in AUTH, which is the only packet. */
function proven(driver: Driver): string {
  const [auth, ...others] = driver.sent();
  assert.deepEqual([auth?.type, others], [MessageType.AUTH, []]);
  return text(decode(codec.readAuthMessage, auth?.frame ?? utf8("")).body ?? utf8(""));
}

/** Nobody is there for a while after the dial, then the servers 7 and 8. */
function lateServers(ageMs: number): Driver {
  const driver = asking();
  dial(driver, "first");
  driver.welcome(100, []).pass(ageMs).servers(1, [7, 8]);
  return reachLanes(driver, driver.session.status.server);
}

test("a fixed token needs no question", () => {
  for (const token of ["fixed", ""]) {
    const driver = new Driver({ token }).input({ kind: "tick" });
    assert.deepEqual([driver.take("askToken"), driver.one("dial").token], [[], token]);
    assert.equal(proven(reachLanes(driver.welcome(100, [7]), 7)), token);
  }
});

test("the token callback is asked before each dial", () => {
  const driver = asking();
  for (const token of ["first", "second", "third"]) {
    assert.deepEqual(driver.take("dial"), [], "not before the answer");
    assert.equal(dial(driver, token), token);
    assert.equal(proven(reachLanes(driver.welcome(100, [7]), 7)), token);
    driver.ready(100);
    if (token === "first") {
      // Without a peer lost, too.
      driver.cutSignalling().pass(500);
      assert.equal(dial(driver, "between"), "between");
      driver.welcome(100, [7]);
    }
    driver.losePeer();
    driver.pass(driver.session.deadline - driver.now);
  }
});

test("the token callback is asked again for an auth long after the dial", () => {
  for (const [ageMs, asked] of [
    [29_999, false],
    [30_000, false],
    [30_001, true],
  ] as const) {
    const driver = lateServers(ageMs);
    assert.equal(driver.session.status.step, "join");
    if (asked) answer(driver, driver.one("askToken").question, "second");
    assert.equal(proven(driver), asked ? "second" : "first");
    driver.ready(100);
    assert.equal(driver.session.status.state, "connected");
  }
});

test("without a token for auth the next server is asked", () => {
  const driver = lateServers(60_000);
  const { server } = driver.session.status;
  fail(driver, driver.one("askToken").question);
  assert.equal(driver.one("closePeer").peer, driver.peer);
  assert.equal(driver.session.status.server, 15 - server);
  assert.equal(driver.session.status.error?.reason, "AuthUnavailable");
});

test("a failing token callback is retried", () => {
  const driver = asking();
  const waits = [];
  for (let round = 0; round < 4; round += 1) {
    fail(driver, driver.one("askToken").question);
    const { state, error } = driver.session.status;
    assert.deepEqual([state, error?.reason, error?.code], ["connecting", "AuthUnavailable", 4]);
    assert.match(error?.message ?? "", /offline/);
    waits.push(driver.session.deadline - driver.now);
    driver.pass(driver.session.deadline - driver.now);
  }
  assert.deepEqual(waits, [375, 750, 1_500, 3_000]);
  assert.equal(dial(driver, "at last"), "at last");
});

test("a slow token callback times out", () => {
  const driver = asking();
  const late = driver.one("askToken").question;
  driver.pass(9_999);
  assert.equal(driver.session.status.failures, 0);
  driver.pass(1);
  assert.equal(driver.session.status.error?.reason, "AuthUnavailable");
  // Its answer comes after all, to a question that is none any more.
  answer(driver, late, "late");
  driver.pass(driver.session.deadline - driver.now);
  const { question } = driver.one("askToken");
  answer(driver, late, "late");
  assert.deepEqual([driver.take("dial"), driver.session.stats.ignored.stray], [[], 2]);
  driver.pass(9_999);
  answer(driver, question, "in time");
  assert.equal(driver.one("dial").token, "in time");
  driver.pass(9_999);
  assert.equal(driver.session.status.step, "dial", "WELCOME has its own time");
});

test("a peer that stands needs no token", () => {
  const driver = asking();
  dial(driver, "first");
  reachLanes(driver.welcome(100, [7]), 7)
    .ready(100)
    .cutSignalling();
  for (let round = 0; round < 3; round += 1) {
    driver.pass(driver.session.deadline - driver.now);
    while (!driver.outputs.some(({ kind }) => kind === "askToken")) {
      driver.packet(codec.writePingMessage, { type: 6, time: 0 }).pass(250);
    }
    fail(driver, driver.one("askToken").question);
    assert.equal(driver.session.status.state, "connected");
    assert.equal(driver.publish("a", "x"), "sent");
  }
  // The peer is lost while a token is awaited: the answer serves for what is next.
  while (!driver.outputs.some(({ kind }) => kind === "askToken")) {
    driver.packet(codec.writePingMessage, { type: 6, time: 0 }).pass(250);
  }
  driver.losePeer();
  assert.equal(dial(driver, "second"), "second");
});

test("closing does not wait for a token", () => {
  const driver = asking().input({ kind: "close" });
  answer(driver, driver.one("askToken").question, "late");
  assert.deepEqual([driver.take("dial"), driver.session.status.state], [[], "closed"]);
});

/** Connected by the token `first`, or by one that never changes. */
function connected(token?: string): Driver {
  const driver = new Driver({ token }).input({ kind: "tick" });
  if (token === undefined) dial(driver, "first");
  reachLanes(driver.welcome(100, [7]), 7).ready(100);
  driver.outputs = [];
  return driver;
}

const refresh = (driver: Driver) =>
  driver.packet(codec.writeRefreshMessage, { type: MessageType.REFRESH, within_ms: 60_000 });

test("a new token is shown when the server asks for it", () => {
  const driver = connected();
  for (const [round, token] of ["second", "third"].entries()) {
    refresh(driver);
    answer(driver, driver.one("askToken").question, token);
    assert.equal(proven(driver), token);
    // It is connected all the while.
    assert.equal(driver.publish("a", "x"), "sent");
    driver.outputs = [];
    driver.ready(100);
    assert.equal(driver.session.stats.renewals, round + 1);
  }
  assert.deepEqual([driver.session.stats.connects, driver.session.stats.ignored.stray], [1, 0]);
  driver.ready(100);
  assert.equal(driver.session.stats.ignored.stray, 1);
});

test("without a new token the callback is asked again", () => {
  const driver = connected();
  refresh(driver);
  for (let round = 0; round < 3; round += 1) {
    fail(driver, driver.one("askToken").question);
    assert.equal(driver.session.status.state, "connected");
    driver.live(4_999);
    assert.deepEqual(driver.take("askToken"), []);
    driver.pass(1);
  }
  answer(driver, driver.one("askToken").question, "at last");
  assert.equal(proven(driver), "at last");
});

test("a fixed token has nothing newer to show", () => {
  const driver = connected("fixed");
  refresh(driver);
  assert.deepEqual([driver.sent(), driver.take("askToken")], [[], []]);
  assert.equal(driver.session.status.state, "connected");
});

test("a peer whose token has ended comes back with a new one", () => {
  const driver = connected();
  refresh(driver);
  const late = driver.one("askToken").question;
  driver.error({ code: 25, retryable: true });
  assert.equal(driver.one("closePeer").peer, driver.peer);
  assert.equal(driver.session.status.error?.reason, "TokenExpired");
  driver.pass(driver.session.deadline - driver.now);
  const { question } = driver.one("askToken");
  answer(driver, late, "late");
  assert.deepEqual(driver.take("dial"), []);
  answer(driver, question, "second");
  assert.equal(driver.one("dial").token, "second");
});

test("a session whose token has ended comes back with a new one", () => {
  const driver = connected().cutSignalling(4025);
  driver.pass(driver.session.deadline - driver.now);
  while (!driver.outputs.some(({ kind }) => kind === "askToken")) driver.live(250);
  assert.equal(dial(driver, "second"), "second");
  assert.equal(driver.session.status.state, "connected");
});

test("who is revoked stops", () => {
  const driver = connected().error({ code: 26, retryable: false });
  assert.deepEqual(
    [driver.session.status.state, driver.session.status.error?.reason],
    ["closed", "Revoked"],
  );
  // The coordinator's word is as good, also while a peer stands.
  const other = connected().cutSignalling(4026);
  assert.deepEqual(
    [other.session.status.state, other.session.status.error?.reason],
    ["closed", "Revoked"],
  );
});

test("a subscription that a new token does not allow is over", () => {
  const driver = connected();
  driver.input({ kind: "subscribe", request: 1, topics: ["a", "b"] }).ackAll();
  driver.error({ code: 110, topic: "a" });
  assert.equal(driver.one("error").error.topic, "a");
  // What may not be published ends no subscription.
  driver.error({ code: 109, topic: "b" });
  assert.equal(driver.one("error").error.topic, "b");
  // The next server is asked for what is left.
  driver.losePeer();
  driver.pass(driver.session.deadline - driver.now);
  dial(driver, "second");
  reachLanes(driver.welcome(100, [7]), 7).sent();
  const topics = driver
    .ready(100)
    .requests()
    .flatMap((request) => request.topics);
  assert.deepEqual(topics, ["b"]);
});
