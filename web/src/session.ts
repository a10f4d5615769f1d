/**
 * The client's state machine: from the coordinator to a communication server and back, for ever.
 * Pure: time, randomness, sockets and tokens are the caller's; see client.ts for the shell.
 *
 * Drive it with {@link Session.handle}, then take {@link Session.poll} until it is empty, and
 * call again with `tick` at {@link Session.deadline}.
 */
import { Backoff } from "./backoff.js";
import type { ErrorMessage } from "./generated/codec.js";
import { PACKET_BYTES_MAX, PACKET_BYTES_MAX_2019 } from "./generated/limits.js";
import type { Lane, Published, Stats, Status } from "./api.js";
import { Outbox } from "./outbox.js";
import { Peer } from "./peer.js";
import { Pings } from "./pings.js";
import {
  type BrokerError,
  FIRST_MERE_ERROR,
  fromCloseCode,
  fromErrorMessage,
  local,
  named,
  numbered,
} from "./reasons.js";
import { Signalling } from "./signalling.js";
import type { Input, Output, SessionConfig } from "./session-io.js";
import { newStats } from "./stats.js";
import { type Dialect, Subscriptions } from "./subscriptions.js";
import { topicError } from "./topic.js";
import * as wire from "./wire.js";

/** See the head of the file. */
export class Session {
  readonly stats: Stats = newStats();
  private readonly outputs: Output[] = [];
  private readonly signalling: Signalling;
  private readonly subscriptions = new Subscriptions();
  private readonly outbox: Outbox;
  private readonly pings = new Pings();
  private readonly backoff: Backoff;
  private readonly buffered: Record<Lane, number> = { reliable: 0, unreliable: 0 };
  private peer: Peer | undefined;
  private lastPeer = 0;
  /** A peer that lives so long was a success. */
  private settledAt = 0;
  /** No attempt before this. */
  private pauseUntil = 0;
  private packetLimit = PACKET_BYTES_MAX;
  private state: Status["state"] = "connecting";
  private suspended = false;
  private failures = 0;
  private error: BrokerError | undefined;
  private shown: Status | undefined;

  constructor(private readonly config: SessionConfig) {
    this.outbox = new Outbox(config.queue);
    this.backoff = new Backoff(config.random);
    this.signalling = new Signalling((kind) => this.outputs.push({ kind }), config.random);
  }

  /** Takes an input. Never throws. `now` is in milliseconds and never goes back. */
  handle(now: number, input: Input): void {
    if (this.state === "closed") {
      this.refuse(input);
      return;
    }
    this.dispatch(now, input);
    this.advance(now);
    this.flush();
    this.showStatus();
  }

  /** The next thing to be done. */
  poll(): Output | undefined {
    return this.outputs.shift();
  }

  /** When to call `handle` with `tick`. */
  get deadline(): number {
    if (this.state === "closed" || this.suspended) return Number.POSITIVE_INFINITY;
    const { signalling, peer, subscriptions } = this;
    const retry = !peer && signalling.isUp && !signalling.waitsForServers;
    return Math.min(
      signalling.deadline,
      subscriptions.deadline,
      peer?.deadline ?? Number.POSITIVE_INFINITY,
      peer?.dialect ? this.pings.deadline : Number.POSITIVE_INFINITY,
      retry ? this.pauseUntil : Number.POSITIVE_INFINITY,
    );
  }

  /** Where the client stands. */
  get status(): Status {
    return {
      state: this.state,
      step: this.step,
      signalling: this.signalling.isUp,
      alias: this.peer?.alias || this.signalling.alias,
      server: this.peer?.server ?? 0,
      failures: this.failures,
      error: this.error,
    };
  }

  /** Round trip to the server in milliseconds, smoothed; undefined before the first echo. */
  get rttMs(): number | undefined {
    return this.state === "connected" ? this.pings.rttMs : undefined;
  }

  /** Reliable publications that wait. */
  get queued(): { count: number; bytes: number } {
    return { count: this.outbox.count, bytes: this.outbox.bytes };
  }

  /** Publishes. Throws a {@link BrokerError} for what can never be sent or has no room. */
  publish(topic: string, body: Uint8Array, lane: Lane, identity: boolean): Published {
    const error = this.state === "closed" ? this.closedError() : topicError(topic);
    if (error) throw error;
    const frame = this.outbox.encode(topic, lane, body, identity);
    if (frame.length > this.packetLimit) throw named("PacketTooLarge", topic);
    const result = lane === "reliable" ? this.queue(frame) : this.sendUnreliable(frame);
    if (result !== "dropped") this.outbox.accept(topic, lane);
    return result;
  }

  private dispatch(now: number, input: Input): void {
    switch (input.kind) {
      case "tick":
        return this.tick(now);
      case "signallingClosed":
        return this.signallingClosed(now, input.error ?? fromCloseCode(input.code ?? 0));
      case "signal":
        return this.signal(now, input.frame);
      case "localSignal":
        return this.localSignal(input.peer, input.signal, input.json);
      case "laneOpened":
        return this.laneOpened(input.peer, input.lane);
      case "credentials":
        return this.credentials(now, input.peer, input.body);
      case "packet":
        return this.packet(now, input.peer, input.lane, input.frame);
      case "buffered":
        this.buffered[input.lane] = input.bytes;
        return;
      case "peerClosed":
        if (this.peer?.id === input.peer) this.peerFailed(now, local("PeerLost"));
        return;
      case "subscribe":
      case "unsubscribe":
        return this.subscriptions.ask(now, input.kind, input.request, input.topics);
      case "suspend":
        return this.suspend();
      case "nudge":
        return this.nudge(now);
      case "close":
        return this.end(named("Closed"));
    }
  }

  // --- time ---

  private tick(now: number): void {
    if (this.signalling.expire(now)) {
      this.signallingClosed(now, local("SignallingLost", "no WELCOME in time"));
    }
    this.subscriptions.tick(now);
    const { peer } = this;
    if (!peer) return;
    const verdict = peer.verdict(now);
    if (verdict === "probe") {
      this.send("reliable", wire.pingFrame(now));
      peer.probeSent();
    }
    if (verdict === "abandoned") {
      // Not even an offer: the signalling socket may be dead without knowing.
      if (!peer.offered) this.signalling.forgetServers();
      this.peerFailed(now, named("HandshakeTimeout"));
    } else if (this.pings.isDead(now)) {
      this.peerFailed(now, local("PeerLost", "it does not answer"));
    } else {
      const frame = wire.pingFrame(now);
      for (const lane of this.pings.due(now, peer.lanes)) this.send(lane, frame);
    }
  }

  /** Starts what can be started now: a dial, or an attempt on the next server. */
  private advance(now: number): void {
    if (this.suspended || this.state === "closed") return;
    this.signalling.advance(now);
    if (this.peer || !this.signalling.isUp || this.pauseUntil > now) return;
    const server = this.signalling.takeServer();
    if (server !== undefined) {
      this.lastPeer += 1;
      this.peer = new Peer(now, this.lastPeer, server);
      this.stats.attempts += 1;
      this.outputs.push({ kind: "openPeer", peer: this.lastPeer });
      this.outputs.push({ kind: "signal", frame: wire.connectFrame(server) });
    } else if (!this.signalling.waitsForServers) {
      this.signalling.redial(now);
      this.signalling.advance(now);
    }
  }

  // --- the coordinator ---

  private signallingClosed(now: number, error: BrokerError | undefined): void {
    if (this.suspended) return;
    if (error && !error.retryable) {
      this.end(error);
      return;
    }
    this.signalling.closed(now, error?.retryAfterMs ?? 0);
    if (this.peer?.dialect) return;
    this.failures += 1;
    this.error = error ?? this.error ?? local("SignallingLost");
    // Without an offer, none will come any more.
    if (this.peer && !this.peer.offered) this.dropPeer();
  }

  private signal(now: number, frame: Uint8Array): void {
    const signal = decode(wire.decodeSignal, frame);
    const from = signal && "from" in signal && signal.from === this.peer?.server;
    const joining = from && !this.peer?.dialect;
    if (!signal) this.stats.ignored.malformed += 1;
    else if (signal.kind === "skipped") this.stats.ignored.unknown += 1;
    else if (signal.kind === "welcome") this.welcome(now, signal);
    else if (signal.kind === "servers") {
      this.signalling.serversChanged(signal.version, signal.entries);
    } else if (signal.kind === "error") this.signalError(now, signal.error);
    else if (signal.kind === "refused" && joining) this.refused(now, signal.reason, signal.code);
    else if (signal.kind === "offer" && joining && this.peer && !this.peer.offered) {
      this.peer.offered = true;
      this.remoteSignal("offer", signal.json);
    } else if (signal.kind === "candidate" && from) this.remoteSignal("candidate", signal.json);
    else this.stats.ignored.stray += 1;
  }

  private welcome(now: number, welcome: { alias: number; servers: number[]; ours: boolean }): void {
    const { alias, servers, ours } = welcome;
    this.signalling.welcome(now, alias, servers, ours);
    if (this.peer || servers.length > 0) return;
    this.error = local("NoServer");
    // A coordinator of 2019 never says when there is one.
    if (!ours) this.pauseUntil = now + this.backoff.next();
  }

  private signalError(now: number, message: ErrorMessage): void {
    const error = fromErrorMessage(message);
    const joining = this.peer && !this.peer.dialect && this.peer.server === message.alias;
    if (error.reason === "PeerUnavailable") {
      if (joining) this.peerFailed(now, error);
      else this.stats.ignored.stray += 1;
    } else if (error.code >= FIRST_MERE_ERROR) this.outputs.push({ kind: "error", error });
    else if (!error.retryable) this.end(error);
    else {
      this.outputs.push({ kind: "hangUp" });
      this.signallingClosed(now, error);
    }
  }

  private refused(now: number, reason: number, code: number): void {
    const { SERVER_FULL, AUTH_FAILED } = wire.ConnectionRefusedReason;
    const old = reason === AUTH_FAILED ? "Unauthenticated" : "PeerUnavailable";
    const error = code ? numbered(code) : named(reason === SERVER_FULL ? "ServerFull" : old);
    if (error.retryable) this.peerFailed(now, error);
    else this.end(error);
  }

  private remoteSignal(signal: "offer" | "candidate", json: string): void {
    if (this.peer) this.outputs.push({ kind: "remoteSignal", peer: this.peer.id, signal, json });
  }

  private localSignal(peer: number, signal: "answer" | "candidate", json: string): void {
    if (this.peer?.id !== peer) return;
    const frame = wire.rtcFrame(signal, this.peer.server, json);
    if (this.signalling.isUp) this.outputs.push({ kind: "signal", frame });
    else this.stats.ignored.unsent += 1;
  }

  // --- the peer ---

  private laneOpened(id: number, lane: Lane): void {
    const { peer } = this;
    if (peer?.id !== id || peer.lanes.has(lane)) return;
    peer.lanes.add(lane);
    if (lane === "reliable") this.outputs.push({ kind: "authenticate", peer: id });
  }

  private credentials(now: number, id: number, body: Uint8Array): void {
    if (this.peer?.id !== id || this.peer.dialect) return;
    this.send("reliable", wire.authFrame(body));
    this.peer.authSent(now);
  }

  private ready(now: number, peer: Peer, dialect: Dialect, alias: number, limit: number): void {
    peer.dialect = dialect;
    peer.alias = alias;
    this.packetLimit = limit || (dialect === "ours" ? PACKET_BYTES_MAX : PACKET_BYTES_MAX_2019);
    this.state = "connected";
    this.error = undefined;
    this.failures = 0;
    this.settledAt = now + SETTLED_MS;
    // What is left of the list is soon out of date.
    this.signalling.forgetServers();
    this.stats.connects += 1;
    this.pings.start(now);
    this.subscriptions.peerReady(now, dialect, this.packetLimit);
  }

  private packet(now: number, id: number, lane: Lane, frame: Uint8Array): void {
    const { peer } = this;
    if (peer?.id !== id) return;
    const traffic = this.stats.received[lane];
    traffic.packets += 1;
    traffic.bytes += frame.length;
    this.pings.heard();
    const packet = decode(wire.decodePacket, frame);
    if (!packet) this.stats.ignored.malformed += 1;
    else if (packet.kind === "forward") this.outputs.push({ kind: "message", lane, packet });
    else if (packet.kind === "ping" && peer.isOldIfItEchoes) {
      this.ready(now, peer, "2019", this.signalling.alias, 0);
    } else if (packet.kind === "ping") this.pings.echoed(now, packet.time);
    else if (packet.kind === "error") this.packetError(now, packet.error.id, packet.error);
    else if (packet.kind === "skipped") this.stats.ignored.unknown += 1;
    else if (packet.kind === "ready" && peer.dialect !== "ours") {
      this.ready(now, peer, "ours", packet.ready.alias, packet.ready.packet_limit);
    } else if (packet.kind !== "ack" || !this.subscriptions.acked(packet.id)) {
      this.stats.ignored.stray += 1;
    }
  }

  private packetError(now: number, id: number, message: ErrorMessage): void {
    const error = fromErrorMessage(message);
    if (id !== 0 && this.subscriptions.failed(now, id, error)) return;
    // It answers the PING that asked whether it is one of 2019: it is not, and never saw our AUTH.
    const outOfStep = error.reason === "AuthExpected" && this.peer?.isOldIfItEchoes;
    if (error.code >= FIRST_MERE_ERROR) this.outputs.push({ kind: "error", error });
    else if (error.retryable || outOfStep) this.peerFailed(now, error);
    else this.end(error);
  }

  private peerFailed(now: number, error: BrokerError): void {
    if (this.peer?.dialect) {
      this.state = "reconnecting";
      // A server that takes us in and lets us go at once is not a success.
      if (now >= this.settledAt) this.backoff.reset();
    }
    if (this.peer) this.signalling.serverFailed(this.peer.server);
    this.dropPeer();
    this.failures += 1;
    this.error = error;
    // The next server of the list at once; back to the coordinator after a pause.
    const wait = this.signalling.hasServers ? 0 : this.backoff.next();
    this.pauseUntil = now + Math.max(wait, error.retryAfterMs);
  }

  private dropPeer(): void {
    if (!this.peer) return;
    this.outputs.push({ kind: "closePeer", peer: this.peer.id });
    this.peer = undefined;
    this.buffered.reliable = 0;
    this.buffered.unreliable = 0;
    this.pings.stop();
    this.subscriptions.peerLost();
  }

  // --- packets out ---

  private get isReady(): boolean {
    return this.peer?.dialect !== undefined;
  }

  private queue(frame: Uint8Array): Published {
    if (this.outbox.count === 0 && this.canSendReliable()) {
      this.send("reliable", frame);
      return "sent";
    }
    this.outbox.push(frame);
    this.stats.dropped.oldest = this.outbox.droppedOldest;
    return "queued";
  }

  private canSendReliable(): boolean {
    return this.isReady && this.buffered.reliable <= RELIABLE_BUFFERED_MAX;
  }

  private sendUnreliable(frame: Uint8Array): Published {
    const { dropped } = this.stats;
    if (!this.isReady || !this.peer?.lanes.has("unreliable")) dropped.notConnected += 1;
    else if (this.buffered.unreliable + frame.length > this.config.unreliableBufferedMax) {
      dropped.buffered += 1;
    } else {
      this.send("unreliable", frame);
      return "sent";
    }
    return "dropped";
  }

  private send(lane: Lane, frame: Uint8Array): void {
    const traffic = this.stats.sent[lane];
    traffic.packets += 1;
    traffic.bytes += frame.length;
    this.buffered[lane] += frame.length;
    this.outputs.push({ kind: "send", lane, frame });
  }

  /** Hands on what the parts have for the outside; requests go before publications. */
  private flush(): void {
    for (const frame of this.subscriptions.takeFrames()) this.send("reliable", frame);
    for (const error of this.subscriptions.takeErrors())
      this.outputs.push({ kind: "error", error });
    for (const done of this.subscriptions.takeEnded()) this.outputs.push({ kind: "done", done });
    while (this.outbox.count > 0 && this.canSendReliable()) {
      const frame = this.outbox.shift();
      if (!frame) return;
      if (frame.length <= this.packetLimit) this.send("reliable", frame);
      else {
        // It was accepted under the limit of another server.
        this.stats.dropped.tooLarge += 1;
        this.outputs.push({ kind: "error", error: named("PacketTooLarge") });
      }
    }
  }

  // --- the application and the page ---

  private suspend(): void {
    if (this.peer?.dialect) this.state = "reconnecting";
    this.suspended = true;
    this.error = local("Suspended");
    this.dropPeer();
    this.signalling.hangUp();
  }

  private nudge(now: number): void {
    this.suspended = false;
    this.pauseUntil = now;
    this.backoff.reset();
    this.signalling.nudge(now);
    if (!this.isReady) return;
    this.pings.nudge(now);
    this.tick(now);
  }

  /** The end: nothing happens after it. */
  private end(error: BrokerError): void {
    this.dropPeer();
    this.signalling.hangUp();
    this.state = "closed";
    this.error = error;
    this.stats.dropped.closed += this.outbox.clear();
    this.subscriptions.close(error);
  }

  private refuse(input: Input): void {
    if (input.kind !== "subscribe" && input.kind !== "unsubscribe") return;
    const done = { request: input.request, error: this.closedError() };
    this.outputs.push({ kind: "done", done });
  }

  private closedError(): BrokerError {
    return this.error ?? named("Closed");
  }

  private get step(): Status["step"] {
    if (this.state === "closed" || this.suspended || this.isReady) return "none";
    if (this.peer) return "join";
    if (this.signalling.isDialling) return "dial";
    return this.signalling.waitsForServers ? "wait" : "pause";
  }

  private showStatus(): void {
    const { status, shown } = this;
    const keys = Object.keys(status) as (keyof Status)[];
    if (shown && keys.every((key) => shown[key] === status[key])) return;
    this.shown = status;
    this.outputs.push({ kind: "status", status });
  }
}

/** What the frame says, or nothing when it is malformed. */
function decode<T>(read: (frame: Uint8Array) => T, frame: Uint8Array): T | undefined {
  try {
    return read(frame);
  } catch {
    return undefined;
  }
}

const SETTLED_MS = 5_000;
/** Above this many bytes held back by the reliable channel, publications wait in the queue. */
export const RELIABLE_BUFFERED_MAX = 256 * 1024;
