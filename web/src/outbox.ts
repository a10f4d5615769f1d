/**
 * What this client publishes: packets numbered per topic and lane, and the bounded queue of
 * reliable ones that wait for a peer. Pure: whoever calls says whether a lane can take a packet.
 */
import type { Lane, QueueOptions } from "./api.js";
import { local } from "./reasons.js";
import { publishFrame } from "./wire.js";

/** Both, in the order in which a server opens them. */
export const LANES: readonly Lane[] = ["reliable", "unreliable"];

export const QUEUE_DEFAULTS: QueueOptions = {
  countMax: 1024,
  bytesMax: 1024 * 1024,
  overflow: "rejectNew",
};

/** The queue, and the numbering of packets. */
export class Outbox {
  /** Publications that `dropOldest` took away. */
  droppedOldest = 0;
  private readonly seqs = new Map<string, number>();
  private queue: Uint8Array[] = [];
  private queuedBytes = 0;

  constructor(private readonly options: QueueOptions) {}

  get count(): number {
    return this.queue.length;
  }

  get bytes(): number {
    return this.queuedBytes;
  }

  /** Encodes a publication with the number that it would have; {@link accept} makes it so. */
  encode(topic: string, lane: Lane, body: Uint8Array, identity: boolean): Uint8Array {
    return publishFrame(topic, body, this.seq(topic, lane) ?? 0, identity);
  }

  /** Takes the number: the packet was sent or queued. */
  accept(topic: string, lane: Lane): void {
    const seq = this.seq(topic, lane);
    if (seq !== undefined) this.seqs.set(key(topic, lane), seq);
  }

  /** Puts a frame at the end, or throws when it is full and set to reject. */
  push(frame: Uint8Array): void {
    const { countMax, bytesMax, overflow } = this.options;
    const fits = () => this.count < countMax && this.queuedBytes + frame.length <= bytesMax;
    const canFit = frame.length <= bytesMax;
    while (overflow === "dropOldest" && canFit && this.count > 0 && !fits()) {
      this.shift();
      this.droppedOldest += 1;
    }
    if (!fits()) throw local("QueueFull", `${this.count} packets, ${this.queuedBytes} bytes`);
    this.queue.push(frame);
    this.queuedBytes += frame.length;
  }

  /** Takes the frame at the front. */
  shift(): Uint8Array | undefined {
    const frame = this.queue.shift();
    if (frame) this.queuedBytes -= frame.length;
    return frame;
  }

  /** Empties the queue and says how many packets were in it. */
  clear(): number {
    const count = this.queue.length;
    this.queue = [];
    this.queuedBytes = 0;
    return count;
  }

  /** The next number of a topic, from 1; none when so many are counted that one more is too many. */
  private seq(topic: string, lane: Lane): number | undefined {
    const last = this.seqs.get(key(topic, lane));
    if (last !== undefined) return last + 1;
    return this.seqs.size < COUNTED_TOPICS_MAX ? 1 : undefined;
  }
}

const key = (topic: string, lane: Lane) => (lane === "reliable" ? `r${topic}` : `u${topic}`);

/** Topics, per lane, whose packets are numbered. Those of topics beyond carry 0, "not counted". */
export const COUNTED_TOPICS_MAX = 4096;
