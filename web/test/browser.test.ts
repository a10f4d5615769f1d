import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { Lane } from "../src/api.js";
import { BrowserTransport } from "../src/browser.js";

/** Stands in for the browser's, and is moved by hand. */
class FakeChannel {
  readyState = "open";
  bufferedAmount = 0;
  binaryType = "";
  bufferedAmountLowThreshold = 0;
  sent: unknown[] = [];
  full = false;
  onopen?: () => void;
  onclose?: () => void;
  onerror?: (event: { error: object }) => void;
  onmessage?: (event: { data: unknown }) => void;
  onbufferedamountlow?: () => void;

  constructor(readonly label: string) {}

  send(data: unknown): void {
    if (this.full) throw new Error("full");
    this.sent.push(data);
  }
}

class FakeConnection {
  static last: FakeConnection;
  log: string[] = [];
  closed = false;
  connectionState = "new";
  localDescription: { sdp: string } | null = null;
  /** Opened by the test: descriptions take their time. */
  gate = Promise.resolve();
  onicecandidate?: (event: { candidate: object | null }) => void;
  ondatachannel?: (event: { channel: FakeChannel }) => void;
  onconnectionstatechange?: () => void;

  constructor(readonly config: object) {
    FakeConnection.last = this;
  }

  async setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    await this.gate;
    if (sdp === "bad") throw new Error("bad");
    this.log.push(`remote ${sdp}`);
  }

  async setLocalDescription(): Promise<void> {
    this.localDescription = { sdp: "answer" };
  }

  async addIceCandidate({ candidate }: { candidate: string }): Promise<void> {
    if (candidate === "odd") throw new Error("odd");
    this.log.push(`candidate ${candidate}`);
  }

  close(): void {
    this.closed = true;
  }

  open(label: string): FakeChannel {
    const channel = new FakeChannel(label);
    this.ondatachannel?.({ channel });
    return channel;
  }
}

class FakeSocket {
  static OPEN = 1;
  static last: FakeSocket;
  readyState = 0;
  binaryType = "";
  sent: unknown[] = [];
  closedWith: number | undefined;
  onmessage?: (event: { data: unknown }) => void;
  onclose?: (event: { code: number }) => void;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.last = this;
  }

  send(data: unknown): void {
    this.sent.push(data);
  }

  close(code: number): void {
    this.closedWith = code;
  }
}

const globals = globalThis as unknown as Record<string, unknown>;
const real = { setTimeout, clearTimeout, warn: console.warn };
let timers: { run: () => void; ms: number }[];

beforeEach(() => {
  timers = [];
  globals.RTCPeerConnection = FakeConnection;
  globals.WebSocket = FakeSocket;
  globals.setTimeout = (run: () => void, ms: number) => {
    timers.push({ run, ms });
    return timers.at(-1);
  };
  globals.clearTimeout = (timer: unknown) => {
    timers = timers.filter((other) => other !== timer);
  };
  console.warn = () => {};
});

afterEach(() => {
  Object.assign(globals, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
  console.warn = real.warn;
  delete globals.RTCPeerConnection;
  delete globals.WebSocket;
});

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

function open() {
  const log: string[] = [];
  const peer = new BrowserTransport({ iceServers: [] }).openPeer({
    signal: (kind, json) => log.push(`${kind} ${json}`),
    opened: (lane) => log.push(`opened ${lane}`),
    packet: (lane: Lane, frame) => log.push(`${lane} ${[...frame]}`),
    drained: (lane) => log.push(`drained ${lane}`),
    closed: (code) => log.push(code === undefined ? "closed" : `closed ${code}`),
  });
  return { peer, log, connection: FakeConnection.last };
}

test("candidates that come before the offer is taken wait for it", async () => {
  const { peer, log, connection } = open();
  let openGate = () => {};
  connection.gate = new Promise((resolve) => {
    openGate = resolve;
  });
  peer.signal("offer", '{"type":"offer","sdp":"theirs"}');
  peer.signal("candidate", '{"candidate":"a"}');
  await settle();
  assert.deepEqual(connection.log, []);
  openGate();
  await settle();
  assert.deepEqual(connection.log, ["remote theirs", "candidate a"]);
  assert.deepEqual(log, ['answer {"type":"answer","sdp":"answer"}']);
});

test("local candidates are trickled, the end of them is not", () => {
  const { log, connection } = open();
  connection.onicecandidate?.({ candidate: { candidate: "mine", sdpMid: "0" } });
  connection.onicecandidate?.({ candidate: { candidate: "" } });
  connection.onicecandidate?.({ candidate: null });
  assert.deepEqual(log, ['candidate {"candidate":"mine","sdpMid":"0"}']);
});

test("a candidate that cannot be taken is nothing, an offer is the end", async () => {
  const { peer, log, connection } = open();
  peer.signal("candidate", '{"candidate":"odd"}');
  peer.signal("candidate", "no json");
  await settle();
  assert.deepEqual(log, []);
  peer.signal("offer", '{"type":"offer","sdp":"bad"}');
  await settle();
  assert.deepEqual(log, ["closed"]);
  assert.ok(connection.closed);
});

test("the reliable lane is open when the browser has gone on to the next channel", () => {
  const { log, connection } = open();
  const reliable = connection.open("reliable");
  reliable.onopen?.();
  assert.deepEqual(log, [], "Chromium would lose what is sent now");
  const unreliable = connection.open("unreliable");
  assert.deepEqual(log, ["opened reliable"]);
  unreliable.onopen?.();
  assert.deepEqual(log, ["opened reliable", "opened unreliable"]);
  assert.equal(timers.length, 0);
});

test("with no next channel the reliable lane is open after a while", () => {
  const { log, connection } = open();
  connection.open("unreliable").onopen?.();
  connection.open("reliable").onopen?.();
  assert.deepEqual(log, ["opened unreliable"]);
  assert.deepEqual(
    timers.map(({ ms }) => ms),
    [100],
  );
  timers[0]?.run();
  assert.deepEqual(log, ["opened unreliable", "opened reliable"]);
});

test("a peer that closes meanwhile does not open any more", () => {
  const { peer, log, connection } = open();
  connection.open("reliable").onopen?.();
  peer.close();
  assert.equal(timers.length, 0);
  connection.open("unreliable").onopen?.();
  assert.deepEqual(log, []);
});

test("packets come as bytes, of strings too; unknown channels are left alone", () => {
  const { log, connection } = open();
  const channel = connection.open("reliable");
  channel.onmessage?.({ data: Uint8Array.of(1, 2).buffer });
  channel.onmessage?.({ data: "é" });
  const other = connection.open("video");
  assert.equal(other.onmessage, undefined);
  const second = connection.open("reliable");
  assert.equal(second.onmessage, undefined, "the first of a label counts");
  assert.deepEqual(log, ["reliable 1,2", "reliable 195,169"]);
});

test("what is held back is told, and when it is gone", () => {
  const { peer, log, connection } = open();
  const channel = connection.open("unreliable");
  assert.equal(peer.buffered("reliable"), 0);
  channel.bufferedAmount = 7;
  assert.equal(peer.buffered("unreliable"), 7);
  channel.onbufferedamountlow?.();
  assert.deepEqual(log, ["drained unreliable"]);
});

test("a channel that closes, or takes nothing more, is the end, told once", () => {
  const closing = open();
  closing.connection.open("reliable").onclose?.();
  closing.connection.open("unreliable").onclose?.();
  assert.deepEqual(closing.log, ["closed"]);
  const full = open();
  full.connection.open("reliable").full = true;
  full.peer.send("reliable", Uint8Array.of(1));
  assert.deepEqual(full.log, ["closed"]);
});

test("a goodbye says why, where the browser passes it on", () => {
  const abort = "Peer reported error(s): User-Initiated Abort, reason=";
  for (const [error, said] of [
    [{ sctpCauseCode: 12, message: `${abort}11` }, "closed 11"],
    [{ sctpCauseCode: 12, message: `${abort}to rest` }, "closed"],
    [{ sctpCauseCode: 12, message: `${abort}111111` }, "closed"],
    [{ sctpCauseCode: 4, message: `${abort}11` }, "closed"],
    [{ sctpCauseCode: null, message: "Transport channel closed" }, "closed"],
  ] as const) {
    const { log, connection } = open();
    const channel = connection.open("reliable");
    channel.onerror?.({ error });
    channel.onclose?.();
    assert.deepEqual(log, [said], error.message);
  }
});

test("disconnected is not a death, failed is", () => {
  const { log, connection } = open();
  for (const state of ["connecting", "connected", "disconnected"]) {
    connection.connectionState = state;
    connection.onconnectionstatechange?.();
  }
  assert.deepEqual(log, []);
  connection.connectionState = "failed";
  connection.onconnectionstatechange?.();
  assert.deepEqual(log, ["closed"]);
});

test("nothing is sent on a channel that is not open", () => {
  const { peer, log, connection } = open();
  peer.send("reliable", Uint8Array.of(1));
  const channel = connection.open("reliable");
  channel.readyState = "closing";
  peer.send("reliable", Uint8Array.of(1));
  assert.deepEqual([channel.sent, log], [[], []]);
});

test("the signalling socket carries binary frames and its close code", () => {
  const log: string[] = [];
  const socket = new BrowserTransport({}).dial("ws://x", ["a", "b"], {
    frame: (frame) => log.push(`frame ${[...frame]}`),
    closed: (code) => log.push(`closed ${code}`),
  });
  const fake = FakeSocket.last;
  assert.deepEqual([fake.url, fake.protocols], ["ws://x", ["a", "b"]]);
  socket.send(Uint8Array.of(1));
  assert.deepEqual(fake.sent, [], "not before it is open");
  fake.readyState = FakeSocket.OPEN;
  socket.send(Uint8Array.of(2));
  fake.onmessage?.({ data: Uint8Array.of(3).buffer });
  fake.onmessage?.({ data: "text" });
  fake.onclose?.({ code: 4008 });
  fake.onclose?.({ code: 1006 });
  assert.equal(fake.sent.length, 1);
  assert.deepEqual(log, ["frame 3", "closed 4008"]);
  socket.close();
  assert.equal(fake.closedWith, 1000);
});
