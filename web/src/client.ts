/**
 * The client: {@link Session} with a clock, sockets, tokens and the page's events around it.
 */
import {
  RESUME_SUBPROTOCOL_PREFIX,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
} from "./generated/limits.js";
import type {
  ClientStats,
  Events,
  Lane,
  Message,
  Options,
  Published,
  PublishOptions,
  Status,
} from "./api.js";
import { BrowserTransport } from "./browser.js";
import { SUBSCRIPTIONS_MAX } from "./generated/limits.js";
import { QUEUE_DEFAULTS } from "./outbox.js";
import { type BrokerError, local } from "./reasons.js";
import { Session } from "./session.js";
import type { Forward, Input, Output } from "./session-io.js";
import type { RequestKind } from "./subscriptions.js";
import type { PeerSocket, SignallingSocket, Transport } from "./transport.js";
import { base64url, text, utf8 } from "./wire.js";

/** Connects, and stays connected until {@link Client.close}. */
export function connect(options: Options): Client {
  return new Client(options);
}

/** See {@link connect}. */
export class Client {
  private readonly session: Session;
  private readonly transport: Transport;
  private readonly url: string;
  private readonly listeners: { [K in keyof Events]: Set<Events[K]> } = {
    state: new Set(),
    message: new Set(),
    error: new Set(),
  };
  private readonly requests = new Map<number, PromiseWithResolvers>();
  private readonly waiters = new Set<PromiseWithResolvers>();
  private signalling: SignallingSocket | undefined;
  private peer: { id: number; socket: PeerSocket } | undefined;
  private timer: { at: number; id: ReturnType<typeof setTimeout> } | undefined;
  private lastRequest = 0;
  private dials = 0;
  private draining = false;
  private readonly unlisten: () => void;

  constructor(private readonly options: Options) {
    this.transport =
      options.transport ??
      new BrowserTransport(options.iceServers ? { iceServers: options.iceServers } : {});
    this.url = addressOf(options);
    const { token = "" } = options;
    this.session = new Session({
      token: typeof token === "function" ? undefined : token,
      resume: options.resume,
      queue: { ...QUEUE_DEFAULTS, ...options.queue },
      unreliableBufferedMax: options.unreliableBufferedMax ?? 64 * 1024,
      subscriptionsMax: options.subscriptionsMax ?? SUBSCRIPTIONS_MAX,
      random: options.random ?? Math.random,
    });
    this.unlisten = this.listenToPage();
    // Not at once, so that listeners can be added first.
    queueMicrotask(() => this.handle({ kind: "tick" }));
  }

  /** Where the client stands. */
  get status(): Status {
    return this.session.status;
  }

  /**
   * Given to the next client as {@link Options.resume}, it brings this one's alias back: after a
   * reload, say. It changes with the `state`; `undefined` while there is none. A secret of the one
   * who has it: of two clients that show it, the later one has the alias, the other gets a new one.
   */
  get resumeToken(): string | undefined {
    return this.session.resumeToken;
  }

  /** Adds a listener; what it returns takes it away again. */
  on<K extends keyof Events>(event: K, listener: Events[K]): () => void {
    this.listeners[event].add(listener);
    return () => this.listeners[event].delete(listener);
  }

  /** Resolves when connected (at once, if it is), rejects when closed. */
  connected(): Promise<void> {
    const { state, error } = this.status;
    if (state === "connected") return Promise.resolve();
    if (state === "closed") return Promise.reject(error);
    return this.wait(this.waiters);
  }

  /**
   * Subscribes, now and on every server to come. Resolves when a server has confirmed it; waits
   * for one if need be. Rejects with a {@link BrokerError}.
   */
  subscribe(topics: string | readonly string[]): Promise<void> {
    return this.request("subscribe", topics);
  }

  /** The opposite of {@link subscribe}. */
  unsubscribe(topics: string | readonly string[]): Promise<void> {
    return this.request("unsubscribe", topics);
  }

  /**
   * Publishes. On the reliable lane what cannot be sent now waits in the bounded queue; on the
   * unreliable lane it is dropped, and counted. Throws a {@link BrokerError} for a bad topic, a
   * packet over the limit, or a full queue that rejects.
   */
  publish(topic: string, body: string | Uint8Array, options: PublishOptions = {}): Published {
    const lane = options.lane ?? "reliable";
    this.tellBuffered(lane);
    const bytes = typeof body === "string" ? utf8(body) : body;
    const result = this.session.publish(topic, bytes, lane, options.identity ?? false);
    this.drain();
    return result;
  }

  /** Counters, round trip and queue. */
  stats(): ClientStats {
    const { stats, rttMs, queued } = this.session;
    return { ...structuredClone(stats), rttMs, queued };
  }

  /** Leaves for good. */
  close(): void {
    this.handle({ kind: "close" });
  }

  // --- the session's inputs ---

  private handle(input: Input): void {
    this.session.handle(performance.now(), input);
    this.drain();
  }

  private request(kind: RequestKind, topics: string | readonly string[]): Promise<void> {
    this.lastRequest += 1;
    const request = this.lastRequest;
    const promise = new Promise<void>((resolve, reject) =>
      this.requests.set(request, { resolve, reject }),
    );
    this.handle({ kind, request, topics: typeof topics === "string" ? [topics] : topics });
    return promise;
  }

  private wait(where: Set<PromiseWithResolvers>): Promise<void> {
    return new Promise((resolve, reject) => where.add({ resolve, reject }));
  }

  private tellBuffered(lane: Lane): void {
    if (!this.peer) return;
    const bytes = this.peer.socket.buffered(lane);
    this.session.handle(performance.now(), { kind: "buffered", lane, bytes });
  }

  private listenToPage(): () => void {
    if (typeof window === "undefined") return () => {};
    const nudge = () => {
      if (document.visibilityState === "visible") this.handle({ kind: "nudge" });
    };
    const hide = () => this.handle({ kind: "suspend" });
    document.addEventListener("visibilitychange", nudge);
    window.addEventListener("online", nudge);
    window.addEventListener("pageshow", nudge);
    window.addEventListener("pagehide", hide);
    return () => {
      document.removeEventListener("visibilitychange", nudge);
      window.removeEventListener("online", nudge);
      window.removeEventListener("pageshow", nudge);
      window.removeEventListener("pagehide", hide);
    };
  }

  // --- the session's outputs ---

  private drain(): void {
    // A listener may call back in: its outputs join the queue that is being drained.
    if (this.draining) return;
    this.draining = true;
    for (let output = this.session.poll(); output; output = this.session.poll()) {
      this.perform(output);
    }
    this.draining = false;
    this.schedule();
  }

  private perform(output: Output): void {
    switch (output.kind) {
      case "askToken":
        return this.askToken(output.question);
      case "dial":
        return this.dial(output.token, output.resume);
      case "hangUp":
        return this.hangUp();
      case "signal":
        return this.signalling?.send(output.frame);
      case "openPeer":
        return this.openPeer(output.peer);
      case "remoteSignal":
        return this.peer?.socket.signal(output.signal, output.json);
      case "closePeer":
        this.peer?.socket.close();
        this.peer = undefined;
        return;
      case "send":
        return this.peer?.socket.send(output.lane, output.frame);
      case "done":
        return this.done(output.done.request, output.done.error);
      case "status":
        return this.statusChanged(output.status);
      case "message":
        return this.emit("message", messageOf(output.lane, output.packet));
      case "error":
        return this.emit("error", output.error);
    }
  }

  private askToken(question: number): void {
    const { token = "" } = this.options;
    Promise.resolve()
      .then(() => (typeof token === "function" ? token() : token))
      .then(
        (given) => this.handle({ kind: "token", question, token: given }),
        (cause) => this.handle({ kind: "tokenFailed", question, why: String(cause) }),
      );
  }

  private dial(token: string, resume: string | undefined): void {
    const protocols = [SUBPROTOCOL];
    if (token) protocols.push(TOKEN_SUBPROTOCOL_PREFIX + base64url(utf8(token)));
    if (resume) protocols.push(RESUME_SUBPROTOCOL_PREFIX + resume);
    this.dials += 1;
    const dial = this.dials;
    const current = () => dial === this.dials;
    try {
      this.signalling = this.transport.dial(this.url, protocols, {
        frame: (frame) => {
          if (current()) this.handle({ kind: "signal", frame });
        },
        closed: (code) => {
          if (current()) this.handle({ kind: "signallingClosed", code });
        },
      });
    } catch (cause) {
      // No URL, or one that a page of this origin may not dial: neither gets better.
      const error = local("CannotDial", String(cause));
      this.handle({ kind: "signallingClosed", error });
    }
  }

  private hangUp(): void {
    this.dials += 1;
    this.signalling?.close();
    this.signalling = undefined;
  }

  private openPeer(id: number): void {
    const current = () => this.peer?.id === id;
    const socket = this.transport.openPeer({
      signal: (signal, json) => this.handle({ kind: "localSignal", peer: id, signal, json }),
      opened: (lane) => this.handle({ kind: "laneOpened", peer: id, lane }),
      packet: (lane, frame) => this.handle({ kind: "packet", peer: id, lane, frame }),
      drained: (lane) => {
        if (!current()) return;
        this.tellBuffered(lane);
        this.drain();
      },
      closed: (code) =>
        this.handle({ kind: "peerClosed", peer: id, ...(code !== undefined && { code }) }),
    });
    this.peer = { id, socket };
  }

  private done(request: number, error: BrokerError | undefined): void {
    const promise = this.requests.get(request);
    this.requests.delete(request);
    if (error) promise?.reject(error);
    else promise?.resolve();
  }

  private statusChanged(status: Status): void {
    if (status.state === "closed") {
      this.unlisten();
      for (const { reject } of this.waiters) reject(status.error);
      this.waiters.clear();
    } else if (status.state === "connected") {
      for (const { resolve } of this.waiters) resolve();
      this.waiters.clear();
    }
    this.emit("state", status);
  }

  private emit<K extends keyof Events>(event: K, value: Parameters<Events[K]>[0]): void {
    for (const listener of this.listeners[event]) {
      try {
        (listener as (value: Parameters<Events[K]>[0]) => void)(value);
      } catch (error) {
        // A listener's fault is the application's, not the session's.
        reportError(error);
      }
    }
  }

  private schedule(): void {
    const at = this.session.deadline;
    if (this.timer?.at === at) return;
    if (this.timer) clearTimeout(this.timer.id);
    this.timer = undefined;
    if (at === Number.POSITIVE_INFINITY) return;
    const id = setTimeout(
      () => {
        this.timer = undefined;
        this.handle({ kind: "tick" });
      },
      Math.max(0, at - performance.now()),
    );
    this.timer = { at, id };
  }
}

interface PromiseWithResolvers {
  resolve(): void;
  reject(error: unknown): void;
}

function messageOf(lane: Lane, packet: Forward): Message {
  const { from, topic, seq, body, sender } = packet;
  return { from, topic, seq, lane, body, ...(sender && { sender }), text: () => text(body) };
}

/** The coordinator's address, with what it is told by it. */
function addressOf({ url, region }: Options): string {
  if (!region) return url;
  if (!/^[\w.-]{1,64}$/.test(region)) throw new RangeError(`not a region's name: ${region}`);
  return `${url}${url.includes("?") ? "&" : "?"}region=${region}`;
}
