/**
 * Which topics this client wants, and the requests that bring a server to the same mind: SUBSCRIBE
 * and UNSUBSCRIBE with ids, or towards a server of 2019 the whole set as SUBSCRIPTION. Pure.
 */
import { PLAIN_TOPIC_LIST_BYTES_MAX } from "./generated/limits.js";
import { type BrokerError, local, named } from "./reasons.js";
import { topicError } from "./topic.js";
import { requestFrame, subscriptionFrame, utf8 } from "./wire.js";

/** What the peer at the other end speaks. */
export type Dialect = "ours" | "2019";

/** Kind of a request. */
export type RequestKind = "subscribe" | "unsubscribe";

/** The end of a request that the application made. */
export interface Done {
  readonly request: number;
  readonly error?: BrokerError;
}

/** A request of the application: over when all its parts are answered. */
interface Asked {
  readonly request: number;
  readonly kind: RequestKind;
  readonly topics: readonly string[];
  /** Wire requests not answered yet; empty while there is no peer. */
  readonly parts: Set<number>;
  error?: BrokerError;
}

/** A request on the wire; `asked` is absent when the session itself brings a new peer up to date. */
interface Part {
  readonly kind: RequestKind;
  readonly topics: readonly string[];
  readonly deadline: number;
  readonly asked?: Asked;
}

/** The wanted topics and the requests under way. */
export class Subscriptions {
  /** Frames for the reliable lane, to be taken by {@link takeFrames}. */
  private frames: Uint8Array[] = [];
  private ended: Done[] = [];
  private errors: BrokerError[] = [];
  /** Topic -> whether a server has confirmed it. */
  private readonly wanted = new Map<string, boolean>();
  private readonly asked = new Set<Asked>();
  private readonly parts = new Map<number, Part>();
  private peer: { dialect: Dialect; packetLimit: number } | undefined;
  private lastId = 0;
  private refreshAt = Number.POSITIVE_INFINITY;

  constructor(private readonly subscriptionsMax: number) {}

  /** The topics wanted now. */
  get topics(): string[] {
    return [...this.wanted.keys()];
  }

  /** Whether this one is. */
  wants(topic: string): boolean {
    return this.wanted.has(topic);
  }

  /** When {@link tick} has something to do. */
  get deadline(): number {
    let deadline = this.refreshAt;
    for (const part of this.parts.values()) deadline = Math.min(deadline, part.deadline);
    return deadline;
  }

  /** The application wants, or no longer wants, these topics. */
  ask(now: number, kind: RequestKind, request: number, topics: readonly string[]): void {
    const error = kind === "subscribe" ? this.objection(topics) : undefined;
    if (error) {
      this.ended.push({ request, error });
      return;
    }
    const asked: Asked = { request, kind, topics: [...new Set(topics)], parts: new Set() };
    const before = this.topics;
    for (const topic of asked.topics) {
      if (kind === "unsubscribe") this.wanted.delete(topic);
      else if (!this.wanted.has(topic)) this.wanted.set(topic, false);
    }
    this.asked.add(asked);
    if (!this.peer) this.endIfVoid(asked);
    else if (this.peer.dialect === "ours") this.send(now, kind, asked.topics, asked);
    else this.announceAll(asked, before);
  }

  /** A peer is ready: it is told everything, and what was asked meanwhile is asked of it. */
  peerReady(now: number, dialect: Dialect, packetLimit: number): void {
    this.peerLost();
    this.peer = { dialect, packetLimit };
    if (dialect === "2019") {
      this.announceAll();
      return;
    }
    for (const topic of this.topics) this.wanted.set(topic, false);
    const waiting = [...this.asked].filter(({ kind }) => kind === "subscribe");
    const covered = new Set(waiting.flatMap(({ topics }) => topics));
    this.refresh(now, (topic) => !covered.has(topic));
    for (const asked of waiting) {
      const topics = asked.topics.filter((topic) => this.wanted.has(topic));
      this.send(now, "subscribe", topics, asked);
    }
  }

  /** The peer is gone: requests wait for the next, except those that its loss fulfils. */
  peerLost(): void {
    this.peer = undefined;
    this.parts.clear();
    this.refreshAt = Number.POSITIVE_INFINITY;
    for (const asked of this.asked) {
      asked.parts.clear();
      this.endIfVoid(asked);
    }
  }

  /** ACK. Returns false when nobody waits for it. */
  acked(id: number): boolean {
    const part = this.take(id);
    if (!part) return false;
    for (const topic of part.topics) {
      if (part.kind === "subscribe" && this.wanted.has(topic)) this.wanted.set(topic, true);
    }
    this.endIfAnswered(part.asked);
    return true;
  }

  /** ERROR with an id, or no answer in time. Returns false when nobody waits for it. */
  failed(now: number, id: number, error: BrokerError): boolean {
    const part = this.take(id);
    if (!part) return false;
    if (part.asked) {
      part.asked.error ??= error;
      if (part.kind === "subscribe") this.forget(now, part.topics);
      this.endIfAnswered(part.asked);
      return true;
    }
    if (part.kind === "unsubscribe") return true;
    this.errors.push(error);
    if (error.retryable) {
      this.refreshAt = Math.min(
        this.refreshAt,
        now + Math.max(error.retryAfterMs, REFRESH_AFTER_MS),
      );
    } else {
      // Topics that a server took before and the next one refuses for good.
      const culprits = part.topics.includes(error.topic) ? [error.topic] : part.topics;
      for (const topic of culprits) this.wanted.delete(topic);
      this.refreshAt = now;
    }
    return true;
  }

  /** The server has ended this one, and no other would do otherwise. */
  end(topic: string): void {
    this.wanted.delete(topic);
  }

  /** Time has passed. */
  tick(now: number): void {
    for (const [id, part] of this.parts) {
      if (part.deadline <= now) this.failed(now, id, local("RequestTimeout"));
    }
    if (this.refreshAt <= now) {
      this.refreshAt = Number.POSITIVE_INFINITY;
      this.refresh(now, (topic) => !this.isSettled(topic));
    }
  }

  /** The client is closed: every request ends. */
  close(error: BrokerError): void {
    for (const { request } of this.asked) this.ended.push({ request, error });
    this.asked.clear();
    this.parts.clear();
    this.peer = undefined;
  }

  takeFrames(): Uint8Array[] {
    return this.frames.splice(0);
  }

  takeEnded(): Done[] {
    return this.ended.splice(0);
  }

  takeErrors(): BrokerError[] {
    return this.errors.splice(0);
  }

  private objection(topics: readonly string[]): BrokerError | undefined {
    for (const topic of topics) {
      const error = topicError(topic);
      if (error) return error;
    }
    const added = new Set(topics.filter((topic) => !this.wanted.has(topic)));
    const tooMany = this.wanted.size + added.size > this.subscriptionsMax;
    return tooMany ? named("TooManySubscriptions") : undefined;
  }

  /** Sends a request in as many parts as the packet limit makes of it. */
  private send(now: number, kind: RequestKind, topics: readonly string[], asked?: Asked): void {
    const limit = this.peer?.packetLimit ?? 0;
    for (const chunk of chunks(topics, limit)) {
      this.lastId = (this.lastId % 0xffff_ffff) + 1;
      const deadline = now + REQUEST_TIMEOUT_MS;
      this.parts.set(this.lastId, { kind, topics: chunk, deadline, ...(asked && { asked }) });
      asked?.parts.add(this.lastId);
      this.frames.push(requestFrame(kind, this.lastId, chunk));
    }
    this.endIfAnswered(asked);
  }

  /** Subscribes to the wanted topics that `which` picks, on the session's own account. */
  private refresh(now: number, which: (topic: string) => boolean): void {
    const topics = this.topics.filter(which);
    if (topics.length > 0) this.send(now, "subscribe", topics);
  }

  /** The whole set to a server of 2019, which never answers: sending it is the answer. */
  private announceAll(asked?: Asked, before?: string[]): void {
    const bytes = utf8(this.topics.join(" ")).length;
    if (bytes > PLAIN_TOPIC_LIST_BYTES_MAX) {
      const error = named("PacketTooLarge");
      if (!asked || !before) {
        this.errors.push(error);
        return;
      }
      this.asked.delete(asked);
      this.ended.push({ request: asked.request, error });
      this.wanted.clear();
      for (const topic of before) this.wanted.set(topic, true);
      return;
    }
    this.frames.push(subscriptionFrame(this.wanted.keys()));
    for (const topic of this.topics) this.wanted.set(topic, true);
    for (const { request } of this.asked) this.ended.push({ request });
    this.asked.clear();
  }

  /** A subscription failed: the topics that no server has confirmed are wanted no more. */
  private forget(now: number, topics: readonly string[]): void {
    const lost = topics.filter((topic) => this.wanted.get(topic) === false);
    for (const topic of lost) this.wanted.delete(topic);
    // The server may have taken some of them.
    if (lost.length > 0 && this.peer?.dialect === "ours") this.send(now, "unsubscribe", lost);
  }

  /** Confirmed, or about to be. */
  private isSettled(topic: string): boolean {
    for (const part of this.parts.values()) if (part.topics.includes(topic)) return true;
    return this.wanted.get(topic) === true;
  }

  private take(id: number): Part | undefined {
    const part = this.parts.get(id);
    this.parts.delete(id);
    part?.asked?.parts.delete(id);
    return part;
  }

  private endIfAnswered(asked: Asked | undefined): void {
    if (!asked || asked.parts.size > 0 || !this.asked.delete(asked)) return;
    this.ended.push({ request: asked.request, ...(asked.error && { error: asked.error }) });
  }

  /** Without a peer: nobody is subscribed, and a subscription unsubscribed from is none. */
  private endIfVoid(asked: Asked): void {
    const waits =
      asked.kind === "subscribe" && asked.topics.some((topic) => this.wanted.has(topic));
    if (!waits && this.asked.delete(asked)) this.ended.push({ request: asked.request });
  }
}

/** Splits topics so that each request stays within `limit` bytes. */
function* chunks(topics: readonly string[], limit: number): Generator<string[]> {
  let chunk: string[] = [];
  let bytes = REQUEST_OVERHEAD_BYTES;
  for (const topic of topics) {
    const size = utf8(topic).length + ENTRY_OVERHEAD_BYTES;
    if (chunk.length > 0 && bytes + size > limit) {
      yield chunk;
      chunk = [];
      bytes = REQUEST_OVERHEAD_BYTES;
    }
    chunk.push(topic);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}

/** Without an answer for so long, a request has failed. */
export const REQUEST_TIMEOUT_MS = 10_000;
/** The least time before topics that a server could not take just now are tried again. */
export const REFRESH_AFTER_MS = 1_000;
/** Type and id: two tags, a byte and a five-byte varint. */
const REQUEST_OVERHEAD_BYTES = 8;
/** Tags and lengths around a topic of at most 256 bytes. */
const ENTRY_OVERHEAD_BYTES = 6;
