import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { Lane, Message, Options, Status } from "../src/api.js";
import { Client } from "../src/client.js";
import * as codec from "../src/generated/codec.js";
import type { PeerSink, PeerSocket, SignallingSink, Transport } from "../src/transport.js";
import { base64url, decode, encode, utf8 } from "../src/wire.js";

/** Sockets that remember what was done to them. */
class FakeTransport implements Transport {
  dials: {
    url: string;
    protocols: string[];
    sink: SignallingSink;
    sent: Uint8Array[];
    closed: boolean;
  }[] = [];
  peers: { sink: PeerSink; sent: [Lane, Uint8Array][]; closed: boolean; buffered: number }[] = [];

  dial(url: string, protocols: string[], sink: SignallingSink) {
    const socket = { url, protocols, sink, sent: [] as Uint8Array[], closed: false };
    this.dials.push(socket);
    return {
      send: (frame: Uint8Array) => socket.sent.push(frame),
      close: () => {
        socket.closed = true;
      },
    };
  }

  openPeer(sink: PeerSink): PeerSocket {
    const peer = { sink, sent: [] as [Lane, Uint8Array][], closed: false, buffered: 0 };
    this.peers.push(peer);
    return {
      signal: () => {},
      send: (lane, frame) => peer.sent.push([lane, frame]),
      buffered: () => peer.buffered,
      close: () => {
        peer.closed = true;
      },
    };
  }

  get socket() {
    return this.dials.at(-1) ?? assert.fail("no dial");
  }

  get peer() {
    return this.peers.at(-1) ?? assert.fail("no peer");
  }
}

const real = { setTimeout, clearTimeout, now: performance.now };
const globals = globalThis as unknown as Record<string, unknown>;
let now = 0;
let timers: { at: number; run: () => void }[] = [];
let page: ReturnType<typeof newPage>;

/** A window and a document that know their listeners. */
function newPage() {
  const listeners = new Set<string>();
  const target = (owner: string) => {
    const made = new EventTarget();
    const { addEventListener, removeEventListener } = made;
    made.addEventListener = (type: string, listener: EventListener) => {
      listeners.add(`${owner} ${type}`);
      addEventListener.call(made, type, listener);
    };
    made.removeEventListener = (type: string, listener: EventListener) => {
      listeners.delete(`${owner} ${type}`);
      removeEventListener.call(made, type, listener);
    };
    return made;
  };
  const document = Object.assign(target("document"), { visibilityState: "visible" });
  return { window: target("window"), document, listeners };
}

beforeEach(() => {
  now = 1_000;
  timers = [];
  performance.now = () => now;
  globals.setTimeout = (run: () => void, ms: number) => {
    const timer = { at: now + ms, run };
    timers.push(timer);
    return timer;
  };
  globals.clearTimeout = (timer: { at: number; run: () => void }) => {
    timers = timers.filter((other) => other !== timer);
  };
  page = newPage();
  Object.assign(globals, { window: page.window, document: page.document });
});

afterEach(() => {
  Object.assign(globals, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
  performance.now = real.now;
  delete globals.window;
  delete globals.document;
});

/** Lets promises settle. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Lets time pass, timer by timer. */
async function pass(ms: number): Promise<void> {
  const end = now + ms;
  for (;;) {
    timers.sort((a, b) => a.at - b.at);
    const next = timers[0];
    if (!next || next.at > end) break;
    timers.shift();
    now = Math.max(now, next.at);
    next.run();
    await settle();
  }
  now = end;
}

function welcome(transport: FakeTransport, servers: number[]): void {
  const fields = { type: 1, alias: 100, available_servers: servers, capabilities: [1] };
  transport.socket.sink.frame(encode(codec.writeWelcomeMessage, fields));
}

async function join(transport: FakeTransport): Promise<void> {
  const { sink } = transport.peer;
  sink.opened("reliable");
  sink.opened("unreliable");
  await settle();
  const ready = { type: 32, alias: 100, capabilities: [1, 2], packet_limit: 16_384 };
  sink.packet("reliable", encode(codec.writeReadyMessage, ready));
}

async function connected(options: Partial<Options> = {}) {
  const transport = new FakeTransport();
  const client = new Client({ url: "ws://x/connect", transport, random: () => 0.5, ...options });
  await settle();
  welcome(transport, [7]);
  await join(transport);
  assert.equal(client.status.state, "connected");
  return { client, transport };
}

test("the token travels as a subprotocol entry and as the body of AUTH", async () => {
  const { transport } = await connected({ token: "s3cret/+" });
  const { url, protocols } = transport.socket;
  assert.equal(url, "ws://x/connect");
  assert.deepEqual(protocols, ["webrtc-broker.1", `token.${base64url(utf8("s3cret/+"))}`]);
  const auth = decode(codec.readAuthMessage, transport.peer.sent[0]?.[1] ?? utf8(""));
  assert.deepEqual(auth.body, utf8("s3cret/+"));
});

test("without a token there is no entry, and AUTH is empty", async () => {
  const { transport } = await connected();
  assert.deepEqual(transport.socket.protocols, ["webrtc-broker.1"]);
  const auth = decode(codec.readAuthMessage, transport.peer.sent[0]?.[1] ?? utf8(""));
  assert.equal(auth.body, undefined);
});

test("a token function is asked for what is shown at the dial and in AUTH", async () => {
  let asked = 0;
  for (const token of [() => `t${++asked}`, async () => `t${++asked}`]) {
    const { client, transport } = await connected({ token });
    const value = utf8(`t${asked}`);
    assert.deepEqual(transport.socket.protocols[1], `token.${base64url(value)}`);
    const auth = decode(codec.readAuthMessage, transport.peer.sent[0]?.[1] ?? utf8(""));
    assert.deepEqual(auth.body, value);
    client.close();
  }
  assert.equal(asked, 2);
});

test("a token function that throws or rejects is asked again, one that hangs too", async () => {
  const transport = new FakeTransport();
  const faults: (() => string | Promise<string>)[] = [
    () => {
      throw new Error("offline");
    },
    () => Promise.reject(new Error("offline")),
    () => new Promise<string>(() => {}),
  ];
  const token = () => (faults.shift() ?? (() => "t"))();
  const client = new Client({ url: "ws://x", token, transport, random: () => 0.5 });
  await settle();
  assert.equal(client.status.error?.reason, "AuthUnavailable");
  assert.match(client.status.error?.message ?? "", /offline/);
  await pass(375 + 750 + 10_000 + 1_500);
  assert.deepEqual([client.status.failures, transport.dials.length], [3, 1]);
});

test("region is in the url", async () => {
  const dialled = async (options: Partial<Options>) => {
    const { client, transport } = await connected(options);
    client.close();
    return transport.socket.url;
  };
  assert.equal(await dialled({ region: "eu-west.1" }), "ws://x/connect?region=eu-west.1");
  assert.equal(await dialled({ url: "ws://x/c?a=b", region: "eu" }), "ws://x/c?a=b&region=eu");
  const longest = "x".repeat(64);
  assert.equal(await dialled({ region: longest }), `ws://x/connect?region=${longest}`);
  for (const region of [`${longest}x`, "a b", "a&b=c", "é", "a\n"]) {
    assert.throws(() => new Client({ url: "ws://x", region }), RangeError, region);
  }
  assert.equal(await dialled({ region: "" }), "ws://x/connect");
});

test("the resume token is the application's to keep, and a subprotocol entry", async () => {
  const { client, transport } = await connected({ token: "t", resume: "earlier" });
  const entry = `token.${base64url(utf8("t"))}`;
  assert.deepEqual(transport.socket.protocols, ["webrtc-broker.1", entry, "resume.earlier"]);
  assert.equal(client.resumeToken, undefined, "this WELCOME gave none");
  transport.socket.sink.closed(1006);
  await pass(500);
  const tokens: (string | undefined)[] = [];
  client.on("state", () => tokens.push(client.resumeToken));
  const fields = { type: 1, alias: 100, capabilities: [1], resume_token: "later" };
  transport.socket.sink.frame(encode(codec.writeWelcomeMessage, fields));
  assert.deepEqual(tokens, ["later"], "it changes with the state");
  transport.socket.sink.closed(1006);
  await pass(1_000);
  assert.deepEqual(transport.socket.protocols, ["webrtc-broker.1", entry, "resume.later"]);
});

test("an address that cannot be dialled is the end", async () => {
  const transport = new FakeTransport();
  transport.dial = () => {
    throw new SyntaxError("no address");
  };
  const client = new Client({ url: "nonsense", transport });
  await assert.rejects(client.connected(), { reason: "CannotDial", message: /no address/ });
  assert.equal(client.status.state, "closed");
});

test("subscribe resolves with the ACK and rejects with the ERROR", async () => {
  const { client, transport } = await connected();
  const good = client.subscribe("a");
  const bad = client.subscribe(["b", "c"]);
  const { sink } = transport.peer;
  sink.packet("reliable", encode(codec.writeAckMessage, { type: 36, id: 1 }));
  sink.packet("reliable", encode(codec.writeErrorMessage, { type: 14, id: 2, code: 102 }));
  await good;
  await assert.rejects(bad, { name: "BrokerError", reason: "TooManySubscriptions", code: 102 });
});

test("connected() resolves when it is, and rejects when it never will be", async () => {
  const transport = new FakeTransport();
  const client = new Client({ url: "ws://x", transport });
  const first = client.connected();
  await settle();
  welcome(transport, [7]);
  await join(transport);
  await first;
  await client.connected();
  client.close();
  await assert.rejects(client.connected(), { reason: "Closed" });

  const refused = new FakeTransport();
  const never = new Client({ url: "ws://x", transport: refused }).connected();
  await settle();
  refused.socket.sink.closed(4002);
  await assert.rejects(never, { reason: "Unauthenticated" });
});

test("messages reach every listener, whatever another does", async () => {
  const faults: unknown[] = [];
  globals.reportError = (error: unknown) => faults.push(error);
  const { client, transport } = await connected();
  const heard: Message[] = [];
  client.subscribe("a");
  client.on("message", () => {
    throw new Error("mine");
  });
  const stop = client.on("message", (message) => heard.push(message));
  const forward = { type: 10, from_alias: 9, topic: "a", seq: 3, body: utf8("größe") };
  const frame = encode(codec.writeTopicFwMessage, forward);
  transport.peer.sink.packet("unreliable", frame);
  stop();
  transport.peer.sink.packet("unreliable", frame);
  assert.equal(heard.length, 1);
  const [message] = heard;
  assert.deepEqual(
    [message?.from, message?.topic, message?.seq, message?.lane, message?.text()],
    [9, "a", 3, "unreliable", "größe"],
  );
  assert.equal(faults.length, 2);
  delete globals.reportError;
});

test("a listener may publish, subscribe and close", async () => {
  const { client, transport } = await connected();
  client.subscribe("a").catch(() => {});
  client.on("message", () => {
    client.publish("b", "answer");
    client.close();
  });
  const forward = { type: 10, from_alias: 9, topic: "a", body: utf8("x") };
  transport.peer.sink.packet("reliable", encode(codec.writeTopicFwMessage, forward));
  const answers = transport.peer.sent.filter(([, frame]) => frame[1] === 9);
  assert.equal(answers.length, 1);
  assert.ok(transport.peer.closed && transport.socket.closed);
});

test("every listener hears things in their order, whatever another calls", async () => {
  const transport = new FakeTransport();
  const client = new Client({ url: "ws://x", transport });
  const states: Status["state"][] = [];
  client.on("state", ({ state }) => {
    if (state === "connected") client.close();
  });
  client.on("state", ({ state }) => states.push(state));
  await settle();
  welcome(transport, [7]);
  await join(transport);
  assert.deepEqual(states.slice(-2), ["connected", "closed"]);
});

test("what the channel holds back is asked before each publication", async () => {
  const { client, transport } = await connected({ unreliableBufferedMax: 1_000 });
  transport.peer.buffered = 1_000;
  assert.equal(client.publish("a", "x", { lane: "unreliable" }), "dropped");
  transport.peer.buffered = 0;
  assert.equal(client.publish("a", "x", { lane: "unreliable" }), "sent");
  transport.peer.buffered = 1_000_000;
  assert.equal(client.publish("a", "x"), "queued");
  assert.deepEqual(client.stats().queued.count, 1);
  transport.peer.buffered = 1_000;
  transport.peer.sink.drained("reliable");
  assert.deepEqual(client.stats().queued.count, 0);
});

test("what an old socket says is ignored", async () => {
  const { client, transport } = await connected();
  const [old] = transport.dials;
  const [lost] = transport.peers;
  lost?.sink.closed();
  await pass(500);
  welcome(transport, [8]);
  old?.sink.closed(4002);
  old?.sink.frame(encode(codec.writeErrorMessage, { type: 14, code: 2 }));
  lost?.sink.closed();
  lost?.sink.packet("reliable", encode(codec.writeReadyMessage, { type: 32, alias: 1 }));
  await join(transport);
  assert.equal(client.status.server, 8);
});

test("pagehide says goodbye, pageshow comes back", async () => {
  const { client, transport } = await connected();
  const states: Status["state"][] = [];
  client.on("state", ({ state }) => states.push(state));
  page.window.dispatchEvent(new Event("pagehide"));
  assert.ok(transport.peer.closed && transport.socket.closed);
  await pass(60_000);
  assert.equal(transport.dials.length, 1);
  page.window.dispatchEvent(new Event("pageshow"));
  await settle();
  assert.equal(transport.dials.length, 2);
  welcome(transport, [7]);
  await join(transport);
  assert.deepEqual([states[0], states.at(-1)], ["reconnecting", "connected"]);
});

test("visibilitychange ends the wait, but not while hidden", async () => {
  const transport = new FakeTransport();
  new Client({ url: "ws://x", transport, random: () => 0.5 });
  await settle();
  for (let round = 0; round < 8; round += 1) {
    transport.socket.sink.closed(1006);
    await pass(15_000);
  }
  const dials = transport.dials.length;
  transport.socket.sink.closed(1006);
  page.document.visibilityState = "hidden";
  page.document.dispatchEvent(new Event("visibilitychange"));
  await settle();
  assert.equal(transport.dials.length, dials);
  page.document.visibilityState = "visible";
  page.document.dispatchEvent(new Event("visibilitychange"));
  await settle();
  assert.equal(transport.dials.length, dials + 1);
});

test("close is final: no timers, no listeners, no dials", async () => {
  const { client, transport } = await connected();
  const listeners = page.listeners;
  assert.ok(listeners.size > 0);
  client.close();
  assert.equal(listeners.size, 0);
  page.window.dispatchEvent(new Event("online"));
  await pass(60_000);
  assert.deepEqual([timers.length, transport.dials.length], [0, 1]);
  assert.throws(() => client.publish("a", "x"), { reason: "Closed" });
  await assert.rejects(client.subscribe("a"), { reason: "Closed" });
});

test("closing while the token is fetched opens nothing", async () => {
  const transport = new FakeTransport();
  let give: (token: string) => void = () => {};
  const token = () =>
    new Promise<string>((resolve) => {
      give = resolve;
    });
  const client = new Client({ url: "ws://x", token, transport });
  await settle();
  client.close();
  give("late");
  await settle();
  assert.equal(transport.dials.length, 0);
});
