import assert from "node:assert/strict";
import { test } from "node:test";
import * as codec from "../src/generated/codec.js";
import { decode, encode, text, utf8 } from "../src/wire.js";
import { Driver } from "./driver.js";

const dialled = () => {
  const driver = new Driver().input({ kind: "tick" });
  driver.one("dial");
  return driver;
};

test("connects to the assigned server", () => {
  const driver = dialled().welcome(100, [7, 8]).join(7).ready(100);
  const { state, step, alias, server, error } = driver.session.status;
  assert.deepEqual([state, step, alias, server, error], ["connected", "none", 100, 7, undefined]);
  assert.equal(driver.take("closePeer").length, 0);
});

test("auth carries token, role and capabilities, and goes first", () => {
  const driver = dialled().welcome(100, [7]);
  const { peer } = driver.one("openPeer");
  driver.offer(7).input({ kind: "laneOpened", peer, lane: "reliable" });
  const { frame, lane } = driver.one("send");
  const auth = decode(codec.readAuthMessage, frame);
  assert.deepEqual(
    [auth.type, auth.role, text(auth.body ?? utf8("")), auth.capabilities, lane],
    [8, 1, "token", [1, 2], "reliable"],
  );
});

test("a server that is not there is passed over at once", () => {
  const driver = dialled().welcome(100, [7, 8]);
  driver.take("openPeer");
  driver.take("signal");
  const error = encode(codec.writeErrorMessage, { type: 14, code: 105, alias: 7, retryable: true });
  driver.signal(error);
  assert.equal(driver.take("closePeer").length, 1);
  driver.join(8).ready(100);
  assert.equal(driver.session.status.server, 8);
});

test("an error about another server changes nothing", () => {
  const driver = dialled().welcome(100, [7, 8]);
  driver.signal(encode(codec.writeErrorMessage, { type: 14, code: 105, alias: 9 }));
  assert.equal(driver.take("closePeer").length, 0);
  assert.equal(driver.session.stats.ignored.stray, 1);
});

test("a server that has answered is left its time, wherever our signals go", () => {
  const driver = dialled().welcome(100, [7, 8]).join(7);
  driver.signal(encode(codec.writeErrorMessage, { type: 14, code: 105, alias: 7 })).ready(100);
  assert.deepEqual([driver.session.status.state, driver.session.status.server], ["connected", 7]);
});

test("a question for a token that was given up is not waited for", () => {
  const driver = new Driver({ token: undefined }).input({ kind: "tick" });
  const { question } = driver.one("askToken");
  driver.input({ kind: "suspend" }).input({ kind: "nudge" });
  assert.notEqual(driver.one("askToken").question, question);
  driver.input({ kind: "token", question, token: "late" });
  assert.deepEqual(driver.take("dial"), []);
});

test("a refusal that may pass leads to the next server, one that may not ends it", () => {
  const refuse = (fields: object) => {
    const driver = dialled().welcome(100, [7, 8]);
    const refusal = { type: 13, from_alias: 7, ...fields };
    driver.signal(encode(codec.writeConnectionRefusedMessage, refusal));
    const { state, server, error } = driver.session.status;
    return [state, server, error?.reason];
  };
  assert.deepEqual(refuse({ reason: 1, code: 10 }), ["connecting", 8, "ServerFull"]);
  assert.deepEqual(refuse({ reason: 1 }), ["connecting", 8, "ServerFull"]);
  assert.deepEqual(refuse({ reason: 0, code: 2 }), ["closed", 0, "Unauthenticated"]);
  assert.deepEqual(refuse({ reason: 2 }), ["closed", 0, "Unauthenticated"]);
});

test("an attempt not ready 10 s after the offer is abandoned for a fresh peer on the next server", () => {
  const driver = dialled().welcome(100, [7, 8]);
  const first = driver.one("openPeer").peer;
  driver.take("signal");
  driver.pass(3_999).offer(7).pass(9_999);
  assert.equal(driver.take("closePeer").length, 0);
  driver.pass(1);
  assert.equal(driver.one("closePeer").peer, first);
  driver.take("remoteSignal");
  driver.join(8);
  assert.notEqual(driver.peer, first);
});

test("an attempt without an offer in 4 s goes back to the coordinator", () => {
  const driver = dialled().welcome(100, [7, 8]).pass(3_999);
  assert.equal(driver.take("closePeer").length, 0);
  driver.pass(1);
  assert.equal(driver.take("closePeer").length, 1);
  driver.pass(500);
  driver.one("hangUp");
  driver.one("dial");
  assert.deepEqual(driver.take("openPeer").length, 1, "only the first attempt");
  driver.take("signal");
  driver.welcome(100, [7, 8]).join(8);
});

test("when every server failed it asks the coordinator again", () => {
  const driver = dialled().welcome(100, [7, 8]);
  for (const server of [7, 8]) {
    const { peer } = driver.one("openPeer");
    driver.offer(server).input({ kind: "peerClosed", peer });
  }
  assert.equal(driver.take("dial").length, 0, "not without a pause");
  driver.pass(500);
  driver.one("hangUp");
  driver.one("dial");
  driver.outputs = [];
  driver.welcome(101, [8, 7]).join(7).ready(101);
  assert.equal(driver.session.status.server, 7, "the one that failed last is tried last");
});

test("works against a 2019 server", () => {
  const driver = dialled();
  driver.input({ kind: "subscribe", request: 1, topics: ["b", "a"] });
  driver.welcome(100, [7]).join(7).pass(1_999);
  assert.deepEqual(driver.pinged(), []);
  driver.readyOf2019();
  assert.equal(driver.session.status.state, "connected");
  const [sent] = driver.sent();
  const subscription = decode(codec.readSubscriptionMessage, sent?.frame ?? utf8(""));
  assert.equal(subscription.type, 7);
  assert.equal(text(subscription.topics ?? utf8("")), "b a");
  assert.deepEqual(driver.one("done").done, { request: 1 });
  assert.throws(() => driver.publish("a", "x".repeat(5_200)), /larger/);
});

test("a server that is slow to decide is asked once and not flooded", () => {
  const driver = dialled();
  driver.input({ kind: "subscribe", request: 1, topics: ["a"] });
  driver.welcome(100, [7]).join(7).pass(9_000);
  const frames = driver.outputs.filter(({ kind }) => kind === "send").length;
  assert.deepEqual([driver.pinged().length, frames], [1, 1]);
  assert.equal(driver.session.status.state, "connecting");
  driver.ready(100);
  assert.deepEqual(
    driver.requests().map(({ topics }) => topics),
    [["a"]],
  );
  assert.equal(driver.publish("a", "x".repeat(5_200)), "sent");
});

test("an AUTH that one of ours never saw costs the attempt, not the client", () => {
  const driver = dialled().welcome(100, [7]).join(7).pass(2_000);
  driver.error({ code: 6 });
  assert.equal(driver.session.status.state, "connecting");
  driver.pass(500).one("dial");
  const prompt = dialled().welcome(100, [7]).join(7).error({ code: 6 });
  assert.equal(prompt.session.status.state, "closed", "before that it is final");
});

test("with no server it waits for SERVERS, however long", () => {
  const driver = dialled().welcome(100, []);
  assert.equal(driver.session.status.step, "wait");
  assert.equal(driver.session.status.error?.reason, "NoServer");
  driver.pass(3_600_000);
  assert.deepEqual([driver.take("dial").length, driver.take("hangUp").length], [0, 0]);
  driver.servers(2, [9], 3);
  assert.equal(driver.session.status.step, "wait", "a draining server is none");
  driver.servers(3, [9]).join(9).ready(100);
  assert.equal(driver.session.status.server, 9);
});

test("SERVERS offers communication servers only, and four of them at most", () => {
  const driver = dialled().welcome(100, []);
  const entries = [{ alias: 9, role: 3, state: 1 }].map((entry) => ({
    ...entry,
    region: "",
    endpoints: [],
  }));
  driver.signal(encode(codec.writeServersMessage, { type: 33, version: 1, entries }));
  assert.equal(driver.session.status.step, "wait");
  driver.servers(2, [1, 2, 3, 4, 5, 6]);
  for (let attempt = 0; attempt < 6; attempt += 1) {
    const { peer } = driver.take("openPeer")[0] ?? { peer: 0 };
    driver.input({ kind: "peerClosed", peer });
  }
  assert.equal(driver.session.stats.attempts, 4);
});

test("an older SERVERS is ignored", () => {
  const driver = dialled().welcome(100, []).servers(5, []);
  driver.servers(4, [9]);
  assert.equal(driver.session.status.step, "wait");
});

test("a 2019 coordinator without servers is asked again", () => {
  const driver = dialled().welcome(100, [], false);
  driver.one("hangUp");
  assert.deepEqual(driver.pass(249).take("dial"), [], "not without a pause");
  driver.pass(251).one("dial");
});

test("an ERROR that closes nothing is told, and the peer stays", () => {
  const driver = new Driver().connect(7).error({ code: 100, text: "too large", topic: "a" });
  const { error } = driver.one("error");
  assert.deepEqual([error.reason, error.topic, error.retryable], ["PacketTooLarge", "a", false]);
  assert.equal(driver.session.status.state, "connected");
});

test("messages come with sender, topic, seq, lane and identity", () => {
  const driver = new Driver().connect(7);
  driver.input({ kind: "subscribe", request: 1, topics: ["a"] });
  const forward = { type: 12, from_alias: 9, identity: utf8("ann"), role: 1 };
  const message = { ...forward, body: utf8("hi"), topic: "a", seq: 4 };
  driver.packet(codec.writeTopicIdentityFwMessage, message);
  const { packet, lane } = driver.one("message");
  assert.equal(lane, "reliable");
  assert.deepEqual([packet.from, packet.topic, packet.seq, text(packet.body)], [9, "a", 4, "hi"]);
  assert.equal(text(packet.sender?.identity ?? utf8("")), "ann");
});

test("ping measures the round trip and sees a dead server in six seconds", () => {
  const driver = new Driver().connect(7).pass(0);
  const ping = driver.take("send").at(-1);
  assert.ok(ping?.lane === "unreliable" && ping.frame[1] === 6, "the first ping at once");
  driver.now += 24;
  driver.input({ kind: "packet", peer: driver.peer, lane: "unreliable", frame: ping.frame });
  assert.equal(driver.session.rttMs, 24);
  driver.now += 100;
  const other = encode(codec.writePingMessage, { type: 6, time: 5 });
  for (const frame of [ping.frame, other]) {
    driver.input({ kind: "packet", peer: driver.peer, lane: "unreliable", frame });
  }
  assert.equal(driver.session.rttMs, 24, "an echo counts once, and only of our own");
  driver.now -= 100;
  driver.pass(7_975);
  assert.equal(driver.session.status.state, "connected");
  driver.pass(1);
  assert.equal(driver.session.status.state, "reconnecting");
  assert.equal(driver.session.status.error?.reason, "PeerLost");
});

test("a silent server is pinged on both lanes", () => {
  const driver = new Driver().connect(7).pass(0);
  driver.take("send");
  assert.equal(driver.pass(1_999).take("send").length, 0);
  const lanes = driver.pass(1).take("send");
  assert.deepEqual(lanes.map(({ lane }) => lane).sort(), ["reliable", "unreliable"]);
});

test("whatever is heard keeps the peer alive", () => {
  const driver = new Driver().connect(7);
  for (let second = 0; second < 60; second += 1) {
    driver.pass(1_000).packet(codec.writeTopicFwMessage, { type: 10, from_alias: 9 });
  }
  assert.equal(driver.session.status.state, "connected");
});

test("a page that slept wakes up with its peer", () => {
  const driver = new Driver().connect(7).pass(100);
  driver.now += 3_600_000;
  driver.input({ kind: "tick" }).input({ kind: "nudge" });
  assert.equal(driver.session.status.state, "connected");
  assert.ok(driver.take("send").length >= 1, "it asks whether the server is there");
});

test("a coordinator that welcomes and closes at once is not asked faster and faster", () => {
  const driver = dialled();
  let waited = 0;
  for (let round = 0; round < 8; round += 1) {
    driver.welcome(100, []).input({ kind: "signallingClosed", code: 1006 });
    waited = driver.session.deadline - driver.now;
    driver.pass(waited).one("dial");
  }
  assert.ok(waited > 10_000, String(waited));
});

test("a session that lasted starts its backoff anew", () => {
  const driver = dialled();
  for (let round = 0; round < 8; round += 1) {
    driver.input({ kind: "signallingClosed", code: 1006 }).pass(15_000);
  }
  driver.outputs = [];
  driver.welcome(100, []).pass(10_000).input({ kind: "signallingClosed", code: 1006 });
  assert.ok(driver.session.deadline - driver.now <= 500);
});

test("no WELCOME in 10 s is a dead socket", () => {
  const driver = dialled().pass(10_000);
  driver.one("hangUp");
  driver.pass(500).one("dial");
});

test("nudge ends the wait", () => {
  const driver = dialled();
  for (let round = 0; round < 9; round += 1) {
    driver.input({ kind: "signallingClosed", code: 1006 }).pass(15_000);
  }
  driver.take("dial");
  driver.input({ kind: "signallingClosed", code: 1006 }).input({ kind: "nudge" });
  driver.one("dial");
});

test("suspend says goodbye and waits; nudge comes back", () => {
  const driver = new Driver().connect(7).input({ kind: "suspend" });
  driver.one("closePeer");
  driver.one("hangUp");
  driver.pass(3_600_000);
  assert.deepEqual(driver.take("dial"), []);
  driver.input({ kind: "signallingClosed", code: 4002 });
  assert.equal(
    driver.session.status.error?.reason,
    "Suspended",
    "what is left behind is not heard",
  );
  assert.equal(driver.publish("a", "later"), "queued");
  driver.input({ kind: "nudge" });
  driver.one("dial");
  driver.outputs = [];
  driver.welcome(101, [7]).join(7).ready(101);
  assert.equal(driver.sent().length, 1, "what waited goes out");
});

test("the token of an earlier client is shown at the first dial", () => {
  const driver = new Driver({ resume: "earlier" }).input({ kind: "tick" });
  assert.equal(driver.one("dial").resume, "earlier");
  const none = new Driver({ resume: "not, a token" }).input({ kind: "tick" });
  assert.equal(none.one("dial").resume, undefined);
});

test("losing both while a dial is far away brings it near", () => {
  const driver = new Driver().connect(7).live(6_000).cutSignalling();
  for (let round = 0; round < 4; round += 1) {
    driver.untilDial();
    driver.cutSignalling();
  }
  driver.packet(codec.writePingMessage, { type: 6, time: 0 });
  assert.deepEqual(driver.pass(2_000).take("dial"), []);
  driver.losePeer();
  assert.equal(driver.pass(500).take("dial").length, 1);
});

test("strays are ignored and counted", () => {
  const driver = new Driver().connect(7);
  driver.offer(7).offer(99).ack(4711);
  driver.input({ kind: "packet", peer: driver.peer - 1, lane: "reliable", frame: utf8("x") });
  driver.signal(Uint8Array.of(255)).signal(Uint8Array.of(8, 41));
  assert.deepEqual(driver.take("remoteSignal"), []);
  const { stray, malformed, unknown } = driver.session.stats.ignored;
  assert.deepEqual([stray, malformed, unknown], [3, 1, 1]);
});

test("seeded inputs of every kind never break it", () => {
  for (let seed = 1; seed <= 200; seed += 1) fuzz(seed);
});

/** One run of random inputs; the invariants are looked at after each. */
function fuzz(seed: number): void {
  let state = seed;
  const below = (count: number) => {
    state = (state * 48271) % 2147483647;
    return state % count;
  };
  const random = () => below(1000) / 1000;
  const driver = new Driver({ random, token: seed % 2 ? "token" : undefined });
  const lane = () => (below(2) ? "reliable" : "unreliable");
  const steps: (() => unknown)[] = [
    () => driver.pass(below(4_000)),
    () => driver.input({ kind: "signallingClosed", code: [1006, 4008, 4009][below(3)] ?? 0 }),
    () => driver.welcome(100 + below(5), [7, 8, 9].slice(0, below(4)), below(4) > 0),
    () => driver.servers(below(9), [7, 8].slice(below(3))),
    () => driver.offer(7 + below(3)),
    () => driver.input({ kind: "laneOpened", peer: driver.peer, lane: lane() }),
    () => driver.input({ kind: "token", question: below(9), token: "" }),
    () => driver.input({ kind: "tokenFailed", question: below(9), why: "" }),
    () => driver.ready(100),
    () => driver.migrate(below(8_000)),
    () => driver.peerGone(100 + below(2)),
    () => driver.signal(encode(codec.writeReplacedMessage, { type: 39 })),
    () => driver.ack(below(20)),
    () => driver.error({ code: [8, 11, 101, 108][below(4)] ?? 0, id: below(20), retryable: true }),
    () => driver.input({ kind: "peerClosed", peer: driver.peer }),
    () =>
      driver.input({
        kind: "subscribe",
        request: below(9),
        topics: ["a", "b", "c"].slice(below(3)),
      }),
    () => driver.input({ kind: "unsubscribe", request: below(9), topics: ["a"] }),
    () => driver.publish("a", "x", lane()),
    () => driver.input({ kind: below(2) ? "suspend" : "nudge" }),
  ];
  for (let step = 0; step < 300; step += 1) {
    steps[below(steps.length)]?.();
    driver.peer = driver.take("openPeer").at(-1)?.peer ?? driver.peer;
    driver.outputs = [];
    const { status, deadline } = driver.session;
    const idle = status.step === "none" || status.step === "wait";
    assert.ok(idle || deadline < Number.POSITIVE_INFINITY, `seed ${seed}: stuck in ${status.step}`);
    assert.ok(deadline > driver.now - 4_000 || idle, `seed ${seed}: a deadline long past`);
  }
}
