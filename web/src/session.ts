/**
 * The client's state machine: from the coordinator to a communication server and back, for ever.
 * Pure: time, randomness, sockets and tokens are the caller's; see client.ts for the shell.
 *
 * Drive it with {@link Session.handle}, then take {@link Session.poll} until it is empty, and
 * call again with `tick` at {@link Session.deadline}.
 */
import { Credentials } from "./credentials.js";
import type { ErrorMessage, ServerEntry } from "./generated/codec.js";
import { PACKET_BYTES_MAX, PACKET_BYTES_MAX_2019 } from "./generated/limits.js";
import type { Lane, Published, Stats, Status } from "./api.js";
import { Outgoing } from "./outgoing.js";
import { Peer } from "./peer.js";
import { Pings } from "./pings.js";
import {
  type BrokerError,
  FIRST_MERE_ERROR,
  fromCloseCode,
  fromErrorMessage,
  fromGoodbye,
  local,
  named,
  numbered,
  tokenFailed,
} from "./reasons.js";
import { Signalling } from "./signalling.js";
import type { Forward, Input, Output, SessionConfig } from "./session-io.js";
import { newStats } from "./stats.js";
import { type Dialect, Subscriptions } from "./subscriptions.js";
import { topicError } from "./topic.js";
import * as wire from "./wire.js";

/** See the head of the file. */
export class Session {
  readonly stats: Stats = newStats();
  private readonly outputs: Output[] = [];
  private readonly signalling: Signalling;
  private readonly credentials: Credentials;
  private readonly subscriptions: Subscriptions;
  private readonly outgoing: Outgoing;
  private readonly pings = new Pings();
  private peer: Peer | undefined;
  private lastPeer = 0;
  private state: Status["state"] = "connecting";
  private suspended = false;
  private failures = 0;
  private error: BrokerError | undefined;
  private shown: Status | undefined;

  constructor(private readonly config: SessionConfig) {
    this.subscriptions = new Subscriptions(config.subscriptionsMax);
    this.outgoing = new Outgoing(config, this.stats, (lane, frame) =>
      this.outputs.push({ kind: "send", lane, frame }),
    );
    this.signalling = new Signalling(() => this.outputs.push({ kind: "hangUp" }), config.random);
    this.credentials = new Credentials(config.token, (question) =>
      this.outputs.push({ kind: "askToken", question }),
    );
    if (config.resume) this.signalling.keepResumeToken(config.resume);
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
    return Math.min(
      signalling.deadline,
      subscriptions.deadline,
      peer?.deadline ?? Number.POSITIVE_INFINITY,
      peer?.dialect ? this.pings.deadline : Number.POSITIVE_INFINITY,
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

  /** Shown by a later session, it brings our alias back; undefined while there is none. */
  get resumeToken(): string | undefined {
    return this.signalling.resumeToken;
  }

  /** Round trip to the server in milliseconds, smoothed; undefined before the first echo. */
  get rttMs(): number | undefined {
    return this.state === "connected" ? this.pings.rttMs : undefined;
  }

  /** Reliable publications that wait. */
  get queued(): { count: number; bytes: number } {
    return this.outgoing.queued;
  }

  /** Publishes. Throws a {@link BrokerError} for what can never be sent or has no room. */
  publish(topic: string, body: Uint8Array, lane: Lane, identity: boolean): Published {
    const error = this.state === "closed" ? this.closedError() : topicError(topic);
    if (error) throw error;
    return this.outgoing.publish(topic, body, lane, identity);
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
        return this.laneOpened(now, input.peer, input.lane);
      case "token":
        return this.tokenGiven(now, input.question, input.token);
      case "tokenFailed":
        return this.tokenMissing(now, input.question, input.why);
      case "packet":
        return this.packet(now, input.peer, input.lane, input.frame);
      case "buffered":
        return this.outgoing.holdsBack(input.lane, input.bytes);
      case "peerClosed":
        if (this.peer?.id === input.peer) this.peerFailed(now, fromGoodbye(input.code));
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
    this.giveUpDial(now);
    this.subscriptions.tick(now);
    const { peer } = this;
    if (!peer) return;
    // Otherwise a WELCOME is on its way, or the next dial is.
    if (peer.startsMoving(now) && this.signalling.isUp) this.signalling.redial(now);
    if (peer.isFarewellOver(now)) {
      this.depart(peer);
      return;
    }
    if (peer.renewAt <= now) this.askForRenewal(peer);
    const verdict = peer.verdict(now);
    if (verdict === "probe") {
      this.outgoing.send("reliable", wire.pingFrame(now));
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
      for (const lane of this.pings.due(now, peer.lanes)) this.outgoing.send(lane, frame);
    }
  }

  private giveUpDial(now: number): void {
    const missing = this.signalling.overdue(now);
    if (missing === "token") {
      this.credentials.giveUp();
      this.signallingClosed(now, tokenFailed("no answer in time"));
    } else if (missing) {
      this.outputs.push({ kind: "hangUp" });
      this.signallingClosed(now, local("SignallingLost", `no ${missing} in time`));
    }
  }

  /** Starts what can be started now: a dial, or an attempt on the next server. */
  private advance(now: number): void {
    if (this.suspended || this.state === "closed") return;
    if (this.signalling.isDue(now)) this.startDial(now);
    if (this.peer?.isLeaving && !this.signalling.offersOtherThan(this.peer.server)) {
      // The coordinator is lost before the server is left: there is nowhere to go for now.
      this.peer.stay();
      this.outgoing.hold(false);
    }
    if (this.peer || !this.signalling.isUp) return;
    const server = this.signalling.takeServer();
    if (server !== undefined) {
      this.lastPeer += 1;
      this.peer = new Peer(now, this.lastPeer, server, this.signalling.alias);
      this.stats.attempts += 1;
      this.outputs.push({ kind: "openPeer", peer: this.lastPeer });
      this.outputs.push({ kind: "signal", frame: wire.connectFrame(server) });
    } else if (!this.signalling.waitsForServers) this.signalling.retryServers(now);
  }

  private startDial(now: number): void {
    const token = this.credentials.isFixed ? this.credentials.recent(now) : undefined;
    if (token !== undefined) this.dial(now, token);
    else {
      // A question that nobody waits for is not this one.
      if (!this.peer?.awaitsToken && this.peer?.renewal !== "token") this.credentials.giveUp();
      this.signalling.asking(now);
      this.credentials.request();
    }
  }

  private dial(now: number, token: string): void {
    this.signalling.dialling(now);
    this.outputs.push({ kind: "dial", token, resume: this.signalling.resumeToken });
  }

  // --- the coordinator ---

  private signallingClosed(now: number, error: BrokerError | undefined): void {
    const { signalling } = this;
    if (this.suspended || (!signalling.isUp && !signalling.isDialling)) return;
    if (error && !error.retryable) {
      this.end(error);
      return;
    }
    signalling.lost(now, error?.retryAfterMs ?? 0);
    if (error?.reason === "Replaced") {
      this.yieldAlias(error);
      return;
    }
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
    else if (signal.kind === "servers") this.servers(now, signal.version, signal.entries);
    else if (signal.kind === "replaced") this.replaced(now, named("Replaced"));
    else if (signal.kind === "error") this.signalError(now, signal.error);
    else if (signal.kind === "refused" && joining) this.refused(now, signal.reason, signal.code);
    else if (signal.kind === "offer" && joining && this.peer && !this.peer.offered) {
      this.peer.offer(now);
      this.remoteSignal("offer", signal.json);
    } else if (signal.kind === "candidate" && from) this.remoteSignal("candidate", signal.json);
    else this.stats.ignored.stray += 1;
  }

  private welcome(now: number, welcome: Welcome): void {
    const { alias, servers, ours, resume } = welcome;
    if (!this.signalling.isDialling) {
      this.stats.ignored.stray += 1;
      return;
    }
    this.signalling.welcome(now, alias, servers, ours);
    if (!this.signalling.keepResumeToken(resume)) this.stats.ignored.malformed += 1;
    // What the server said meanwhile was not heard.
    if (this.peer?.needsSignalling) this.dropPeer();
    this.move(now);
    if (!this.peer && servers.length === 0) this.error = local("NoServer");
  }

  private servers(now: number, version: number, entries: readonly ServerEntry[]): void {
    this.signalling.serversChanged(version, entries, this.peer?.server);
    this.move(now);
  }

  /** Leaves a server that asked for it, if there is another one. */
  private move(now: number): void {
    const { peer, signalling } = this;
    if (!peer?.isMoving || peer.isLeaving || !signalling.offersOtherThan(peer.server)) return;
    if (!this.outgoing.hasReliableUnderWay) {
      this.depart(peer);
      return;
    }
    // A lane that is closed may lose what is on it: first the server's word that it has all.
    this.outgoing.send("reliable", wire.pingFrame(peer.leave(now)));
    this.outgoing.hold(true);
  }

  private depart(peer: Peer): void {
    this.signalling.avoid(peer.server);
    this.leavePeer();
    this.stats.moves += 1;
    this.error = named("ShuttingDown");
  }

  /** Somebody goes on under our alias: what we have by it is void. */
  private replaced(now: number, error: BrokerError): void {
    this.signalling.retry(now, error.retryAfterMs);
    this.yieldAlias(error);
  }

  private yieldAlias(error: BrokerError): void {
    this.signalling.forgetResumeToken();
    this.leavePeer();
    this.failures += 1;
    this.error = error;
  }

  private signalError(now: number, message: ErrorMessage): void {
    const error = fromErrorMessage(message);
    // Once the server has answered, the deadline decides: the peer may need no further signal.
    const joining = this.peer && !this.peer.offered && this.peer.server === message.alias;
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

  private laneOpened(now: number, id: number, lane: Lane): void {
    const { peer } = this;
    if (peer?.id !== id || peer.lanes.has(lane)) return;
    peer.lanes.add(lane);
    if (lane !== "reliable") return;
    const token = this.credentials.recent(now);
    if (token !== undefined) this.authenticate(now, peer, token);
    else {
      peer.awaitsToken = true;
      this.credentials.request();
    }
  }

  private authenticate(now: number, peer: Peer, token: string): void {
    this.outgoing.send("reliable", wire.authFrame(wire.utf8(token)));
    peer.authSent(now);
  }

  private tokenGiven(now: number, question: number, token: string): void {
    if (!this.isAnswer(now, question, token)) return;
    if (this.signalling.isAsking) this.dial(now, token);
    if (this.peer?.awaitsToken) this.authenticate(now, this.peer, token);
    if (this.peer?.renewal === "token") {
      this.peer.renewal = "sent";
      this.outgoing.send("reliable", wire.authFrame(wire.utf8(token)));
    }
  }

  /** Whatever the application answered before is what is about to end. */
  private askForRenewal(peer: Peer): void {
    peer.renewAt = Number.POSITIVE_INFINITY;
    // A token that never changes has nothing newer to show.
    if (this.credentials.isFixed) return;
    peer.renewal = "token";
    this.credentials.request();
  }

  /** Whether it answers a question that is still one. */
  private isAnswer(now: number, question: number, token: string | undefined): boolean {
    const isOne = this.credentials.answered(now, question, token);
    if (!isOne) this.stats.ignored.stray += 1;
    return isOne;
  }

  private tokenMissing(now: number, question: number, why: string): void {
    if (!this.isAnswer(now, question, undefined)) return;
    if (this.signalling.isAsking) this.signallingClosed(now, tokenFailed(why));
    if (this.peer?.renewal === "token") this.peer.renewalMissed(now);
    if (this.peer?.awaitsToken) this.peerFailed(now, tokenFailed(why));
  }

  private ready(now: number, peer: Peer, dialect: Dialect, alias: number, limit: number): void {
    peer.ready(now, dialect, alias);
    const usual = dialect === "ours" ? PACKET_BYTES_MAX : PACKET_BYTES_MAX_2019;
    const packetLimit = limit || usual;
    this.outgoing.peerReady(peer.lanes, packetLimit);
    this.state = "connected";
    this.error = undefined;
    this.failures = 0;
    // What is left of the list is soon out of date.
    this.signalling.forgetServers();
    this.stats.connects += 1;
    this.pings.start(now);
    this.subscriptions.peerReady(now, dialect, packetLimit);
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
    else if (packet.kind === "forward" && peer.dialect) this.forward(peer, lane, packet);
    else if (packet.kind === "ping" && peer.isOldIfItEchoes) {
      this.ready(now, peer, "2019", 0, 0);
    } else if (packet.kind === "ping" && peer.isFarewell(packet.time)) this.depart(peer);
    else if (packet.kind === "ping") this.pings.echoed(now, packet.time);
    else if (packet.kind === "error") this.packetError(now, packet.error.id, packet.error);
    else if (packet.kind === "skipped") this.stats.ignored.unknown += 1;
    else if (packet.kind === "ready" && peer.dialect !== "ours") {
      this.ready(now, peer, "ours", packet.ready.alias, packet.ready.packet_limit);
    } else if (packet.kind === "ready" && peer.renewed()) this.stats.renewals += 1;
    else if (packet.kind === "refresh" && peer.dialect) this.askForRenewal(peer);
    else if (packet.kind === "peerGone" && peer.dialect) this.peerGone(now, peer, packet.alias);
    else if (packet.kind === "migrate" && peer.dialect) {
      // A random part of the time, so that not all who are asked come at once.
      const wait = packet.withinMs * this.config.random();
      if (!peer.migrate(now, wait)) this.stats.ignored.repeated += 1;
    } else if (packet.kind !== "ack" || !this.subscriptions.acked(packet.id)) {
      this.stats.ignored.stray += 1;
    }
  }

  private forward(peer: Peer, lane: Lane, packet: Forward): void {
    // Published on the server before this one, and come here by way of this one's link.
    if (packet.from === peer.alias) this.stats.ignored.ownEcho += 1;
    else if (packet.topic && !this.subscriptions.wants(packet.topic)) {
      this.stats.ignored.unwanted += 1;
    } else this.outputs.push({ kind: "message", lane, packet });
  }

  /** A session has ended, says the coordinator. If it is ours, its socket is dead; the peer is not. */
  private peerGone(now: number, peer: Peer, alias: number): void {
    if (alias === peer.alias && this.signalling.isSessionOf(alias, now)) {
      this.outputs.push({ kind: "hangUp" });
      this.signalling.lost(now, 0);
    } else this.stats.ignored.stray += 1;
  }

  private packetError(now: number, id: number, message: ErrorMessage): void {
    const error = fromErrorMessage(message);
    if (id !== 0 && this.subscriptions.failed(now, id, error)) return;
    if (error.reason === "SubscriptionEnded") this.subscriptions.end(error.topic);
    // It answers the PING that asked whether it is one of 2019: it is not, and never saw our AUTH.
    const outOfStep = error.reason === "AuthExpected" && this.peer?.isOldIfItEchoes;
    if (error.code >= FIRST_MERE_ERROR) this.outputs.push({ kind: "error", error });
    else if (error.retryable || outOfStep) this.peerFailed(now, error);
    else this.end(error);
  }

  private peerFailed(now: number, error: BrokerError): void {
    const { peer, signalling } = this;
    if (!peer) return;
    if (error.reason === "Replaced") {
      this.replaced(now, error);
      return;
    }
    signalling.avoid(peer.server);
    this.leavePeer();
    this.failures += 1;
    this.error = error;
    // After an attempt the next server of the list is tried at once. After a loss the list is old,
    // but a WELCOME on its way is not; and who was asked to go need not wait for the server.
    const prompt = peer.isMoving || error.retryAfterMs === 0;
    if (!peer.dialect) signalling.noteWait(error.retryAfterMs);
    if (!peer.dialect || (signalling.isDialling && prompt)) return;
    if (peer.isMoving && signalling.offersOtherThan(peer.server)) return;
    signalling.backoff.forgive(now, peer.readyAt);
    signalling.retry(now, error.retryAfterMs);
  }

  private leavePeer(): void {
    if (this.peer?.dialect) this.state = "reconnecting";
    this.dropPeer();
  }

  private dropPeer(): void {
    if (!this.peer) return;
    this.outputs.push({ kind: "closePeer", peer: this.peer.id });
    this.peer = undefined;
    this.outgoing.peerLost();
    this.pings.stop();
    this.subscriptions.peerLost();
  }

  /** Hands on what the parts have for the outside; requests go before publications. */
  private flush(): void {
    for (const frame of this.subscriptions.takeFrames()) this.outgoing.send("reliable", frame);
    for (const error of this.subscriptions.takeErrors())
      this.outputs.push({ kind: "error", error });
    for (const done of this.subscriptions.takeEnded()) this.outputs.push({ kind: "done", done });
    for (const error of this.outgoing.flush()) this.outputs.push({ kind: "error", error });
  }

  // --- the application and the page ---

  private suspend(): void {
    this.suspended = true;
    this.error = local("Suspended");
    this.leavePeer();
    this.signalling.hangUp();
  }

  private nudge(now: number): void {
    this.suspended = false;
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
    this.outgoing.close();
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

  private get isReady(): boolean {
    return this.peer?.dialect !== undefined;
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

type Welcome = Extract<wire.Signal, { kind: "welcome" }>;

/** What the frame says, or nothing when it is malformed. */
function decode<T>(read: (frame: Uint8Array) => T, frame: Uint8Array): T | undefined {
  try {
    return read(frame);
  } catch {
    return undefined;
  }
}
