/** Drives a {@link Session} by hand: virtual time, a scripted coordinator and server. */
import assert from "node:assert/strict";
import { PbfReader } from "pbf";
import * as codec from "../src/generated/codec.js";
import { MessageType } from "../src/generated/codec.js";
import type { Lane, Published, QueueOptions } from "../src/api.js";
import { QUEUE_DEFAULTS } from "../src/outbox.js";
import { Session } from "../src/session.js";
import type { Input, Output, SessionConfig } from "../src/session-io.js";
import { decode, encode, utf8 } from "../src/wire.js";

export type Kind = Output["kind"];
export type Of<K extends Kind> = Extract<Output, { kind: K }>;

/** A frame that the session sent, decoded as far as tests look at it. */
export interface Sent {
  type: number;
  lane: Lane;
  frame: Uint8Array;
}

export class Driver {
  now = 1_000;
  readonly session: Session;
  /** Outputs not yet looked at. */
  outputs: Output[] = [];

  constructor(
    options: Partial<Omit<SessionConfig, "queue">> & { queue?: Partial<QueueOptions> } = {},
  ) {
    this.session = new Session({
      token: "token",
      unreliableBufferedMax: 1_000,
      subscriptionsMax: 1_024,
      ...options,
      queue: { ...QUEUE_DEFAULTS, ...options.queue },
      random: options.random ?? (() => 0.5),
    });
  }

  input(input: Input): this {
    this.session.handle(this.now, input);
    return this.collect();
  }

  publish(topic: string, body: string, lane: Lane = "reliable", identity = false): Published {
    const result = this.session.publish(topic, utf8(body), lane, identity);
    this.collect();
    return result;
  }

  /** Lets time pass, with a tick at every deadline on the way. */
  pass(ms: number): this {
    const end = this.now + ms;
    for (let ticks = 0; this.session.deadline <= end; ticks += 1) {
      assert.ok(ticks < 10_000, "the session spins");
      this.now = Math.max(this.now, this.session.deadline);
      this.input({ kind: "tick" });
    }
    this.now = end;
    return this;
  }

  /** Lets time pass with a server that is well. */
  live(ms: number): this {
    for (const end = this.now + ms; this.now < end; ) {
      this.pass(Math.min(1_000, end - this.now));
      this.packet(codec.writePingMessage, { type: 6, time: 0 });
    }
    return this;
  }

  /** Takes the outputs of one kind, leaving the others. */
  take<K extends Kind>(kind: K): Of<K>[] {
    const taken = this.outputs.filter((output): output is Of<K> => output.kind === kind);
    this.outputs = this.outputs.filter((output) => output.kind !== kind);
    return taken;
  }

  /** Takes the one output of its kind that there must be. */
  one<K extends Kind>(kind: K): Of<K> {
    const taken = this.take(kind);
    assert.equal(taken.length, 1, `one ${kind}, got ${JSON.stringify(taken)}`);
    return taken[0] as Of<K>;
  }

  /** Packets sent to the server, pings left out. */
  sent(): Sent[] {
    const sent = this.take("send").map(({ lane, frame }) => {
      const { type } = codec.readMessageHeader(new PbfReader(frame));
      return { type, lane, frame };
    });
    return sent.filter(({ type }) => type !== MessageType.PING);
  }

  // --- what the coordinator and the servers say ---

  welcome(alias: number, servers: number[], ours = true, resume_token = ""): this {
    const capabilities = ours ? [1, 2] : [];
    const welcome = { type: 1, alias, available_servers: servers, capabilities, resume_token };
    return this.signal(encode(codec.writeWelcomeMessage, welcome));
  }

  servers(version: number, aliases: number[], state = 1): this {
    const entries = aliases.map((alias) => ({ alias, role: 2, state, region: "", endpoints: [] }));
    return this.signal(encode(codec.writeServersMessage, { type: 33, version, entries }));
  }

  signal(frame: Uint8Array): this {
    return this.input({ kind: "signal", frame });
  }

  offer(from_alias: number): this {
    const data = utf8(`{"type":"offer","sdp":"from ${from_alias}"}`);
    return this.signal(encode(codec.writeWebRtcMessage, { type: 3, from_alias, data }));
  }

  packet<T>(write: Parameters<typeof encode<T>>[0], message: Partial<T>): this {
    const frame = encode(write, message);
    return this.input({ kind: "packet", peer: this.peer, lane: "reliable", frame });
  }

  /** Pings sent to the server, the other packets left out. */
  pinged(): Uint8Array[] {
    const frames = this.take("send").map(({ frame }) => frame);
    const type = (frame: Uint8Array) => codec.readMessageHeader(new PbfReader(frame)).type;
    return frames.filter((frame) => type(frame) === MessageType.PING);
  }

  /** The server echoes the PINGs sent on the reliable lane. */
  echo(): this {
    const type = (frame: Uint8Array) => codec.readMessageHeader(new PbfReader(frame)).type;
    for (const { lane, frame } of this.take("send")) {
      if (lane !== "reliable" || type(frame) !== MessageType.PING) continue;
      this.input({ kind: "packet", peer: this.peer, lane, frame });
    }
    return this;
  }

  /** Two seconds without READY, then the echo of the PING that asks: a server of 2019. */
  readyOf2019(): this {
    const [frame] = this.pass(2_000).pinged();
    assert.ok(frame, "a PING asks");
    return this.input({ kind: "packet", peer: this.peer, lane: "reliable", frame });
  }

  ready(alias: number, packet_limit = 16_384): this {
    return this.packet(codec.writeReadyMessage, {
      type: 32,
      alias,
      packet_limit,
      capabilities: [1, 2],
    });
  }

  /** The coordinator says, by way of the server, that the session of this client has ended. */
  peerGone(alias: number): this {
    return this.packet(codec.writePeerGoneMessage, { type: 38, alias });
  }

  migrate(within_ms: number): this {
    return this.packet(codec.writeMigrateMessage, { type: 40, within_ms });
  }

  ack(id: number): this {
    return this.packet(codec.writeAckMessage, { type: 36, id });
  }

  error(fields: Partial<codec.ErrorMessage>): this {
    return this.packet(codec.writeErrorMessage, { type: 14, ...fields });
  }

  peer = 0;

  /** From WELCOME to both lanes open and AUTH sent. */
  join(server: number): this {
    this.peer = this.one("openPeer").peer;
    const connect = decode(codec.readConnectMessage, this.one("signal").frame);
    assert.equal(connect.type, MessageType.CONNECT);
    assert.equal(connect.to_alias, server);
    this.offer(server);
    assert.equal(this.one("remoteSignal").signal, "offer");
    this.input({ kind: "localSignal", peer: this.peer, signal: "answer", json: "{}" });
    assert.equal(this.take("signal").length, 1);
    this.input({ kind: "laneOpened", peer: this.peer, lane: "reliable" });
    this.input({ kind: "laneOpened", peer: this.peer, lane: "unreliable" });
    const [auth] = this.sent();
    assert.ok(auth?.type === MessageType.AUTH && auth.lane === "reliable");
    return this;
  }

  /** The whole way, as alias 100. */
  connect(server = 7, fallbacks: number[] = [], resume = ""): this {
    this.input({ kind: "tick" });
    this.one("dial");
    this.welcome(100, [server, ...fallbacks], true, resume)
      .join(server)
      .ready(100);
    assert.equal(this.session.status.state, "connected");
    this.take("status");
    return this;
  }

  cutSignalling(code = 1006): this {
    return this.input({ kind: "signallingClosed", code });
  }

  losePeer(): this {
    return this.input({ kind: "peerClosed", peer: this.peer });
  }

  /** Lets time pass until the next dial, and forgets what else was done meanwhile. */
  untilDial(): Of<"dial"> {
    while (!this.outputs.some(({ kind }) => kind === "dial")) {
      assert.ok(this.session.deadline < Number.POSITIVE_INFINITY, "it never dials again");
      this.pass(Math.max(0, this.session.deadline - this.now));
    }
    const dial = this.one("dial");
    this.outputs = [];
    return dial;
  }

  /** Answers every SUBSCRIBE and UNSUBSCRIBE that was sent. */
  ackAll(): this {
    for (const { id } of this.requests()) this.ack(id);
    return this;
  }

  requests(): { id: number; type: number; topics: string[] }[] {
    return this.sent().map(({ type, frame }) => {
      const { id, entries } = decode(codec.readSubscribeMessage, frame);
      return { id, type, topics: entries.map(({ topic }) => topic) };
    });
  }

  private collect(): this {
    for (let output = this.session.poll(); output; output = this.session.poll()) {
      this.outputs.push(output);
    }
    return this;
  }
}
