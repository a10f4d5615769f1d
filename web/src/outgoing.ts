/**
 * What goes to the server: at once, after a while in the queue, or not at all. Pure; a part of
 * session.ts.
 */
import type { Lane, Published, Stats } from "./api.js";
import { PACKET_BYTES_MAX } from "./generated/limits.js";
import { Outbox } from "./outbox.js";
import { type BrokerError, named } from "./reasons.js";
import type { SessionConfig } from "./session-io.js";

/** The lanes out, and the queue before them. */
export class Outgoing {
  private readonly outbox: Outbox;
  private readonly buffered: Record<Lane, number> = { reliable: 0, unreliable: 0 };
  /** The lanes of the peer that is ready, if one is. */
  private lanes: ReadonlySet<Lane> | undefined;
  private packetLimit = PACKET_BYTES_MAX;
  /** Reliable publications wait for the next peer. */
  private isHeld = false;
  private hasPublished = false;

  constructor(
    private readonly config: SessionConfig,
    private readonly stats: Stats,
    private readonly transmit: (lane: Lane, frame: Uint8Array) => void,
  ) {
    this.outbox = new Outbox(config.queue);
  }

  /** Reliable publications that wait. */
  get queued(): { count: number; bytes: number } {
    return { count: this.outbox.count, bytes: this.outbox.bytes };
  }

  /** A peer is ready: these are its lanes, which open one by one, and the limit of its packets. */
  peerReady(lanes: ReadonlySet<Lane>, packetLimit: number): void {
    this.lanes = lanes;
    this.packetLimit = packetLimit;
    this.hasPublished = false;
  }

  /** Publications wait for the next one. */
  peerLost(): void {
    this.lanes = undefined;
    this.isHeld = false;
    this.buffered.reliable = 0;
    this.buffered.unreliable = 0;
  }

  /** Whether something may be on its way to the peer that must not be lost. */
  get hasReliableUnderWay(): boolean {
    return this.hasPublished;
  }

  /** What is published on the reliable lane from now on waits for the next peer, or no longer. */
  hold(isHeld: boolean): void {
    this.isHeld = isHeld;
  }

  /** So many bytes are held back by a lane's channel. */
  holdsBack(lane: Lane, bytes: number): void {
    this.buffered[lane] = bytes;
  }

  /** Publishes. Throws a {@link BrokerError} for what has no room. */
  publish(topic: string, body: Uint8Array, lane: Lane, identity: boolean): Published {
    const frame = this.outbox.encode(topic, lane, body, identity);
    if (frame.length > this.packetLimit) throw named("PacketTooLarge", topic);
    const result = lane === "reliable" ? this.queue(frame) : this.sendUnreliable(frame);
    if (result !== "dropped") this.outbox.accept(topic, lane);
    return result;
  }

  /** Sends a packet that is no publication. */
  send(lane: Lane, frame: Uint8Array): void {
    const traffic = this.stats.sent[lane];
    traffic.packets += 1;
    traffic.bytes += frame.length;
    this.buffered[lane] += frame.length;
    this.transmit(lane, frame);
  }

  /** Sends what waits, as far as the peer takes it. Returns what was too large for this server. */
  flush(): BrokerError[] {
    const errors = [];
    while (this.outbox.count > 0 && this.canSendReliable()) {
      const frame = this.outbox.shift();
      if (!frame) break;
      if (frame.length <= this.packetLimit) this.sendReliable(frame);
      else {
        // It was accepted under the limit of another server.
        this.stats.dropped.tooLarge += 1;
        errors.push(named("PacketTooLarge"));
      }
    }
    return errors;
  }

  /** The end: what waits is dropped. */
  close(): void {
    this.stats.dropped.closed += this.outbox.clear();
  }

  private queue(frame: Uint8Array): Published {
    if (this.outbox.count === 0 && this.canSendReliable()) {
      this.sendReliable(frame);
      return "sent";
    }
    this.outbox.push(frame);
    this.stats.dropped.oldest = this.outbox.droppedOldest;
    return "queued";
  }

  private canSendReliable(): boolean {
    const { lanes, isHeld, buffered } = this;
    return lanes !== undefined && !isHeld && buffered.reliable <= RELIABLE_BUFFERED_MAX;
  }

  private sendReliable(frame: Uint8Array): void {
    this.hasPublished = true;
    this.send("reliable", frame);
  }

  private sendUnreliable(frame: Uint8Array): Published {
    const { dropped } = this.stats;
    if (!this.lanes?.has("unreliable")) dropped.notConnected += 1;
    else if (this.buffered.unreliable + frame.length > this.config.unreliableBufferedMax) {
      dropped.buffered += 1;
    } else {
      this.send("unreliable", frame);
      return "sent";
    }
    return "dropped";
  }
}

/** Above this many bytes held back by the reliable channel, publications wait in the queue. */
export const RELIABLE_BUFFERED_MAX = 256 * 1024;
