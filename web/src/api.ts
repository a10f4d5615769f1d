/** The types of the public interface; its functions are in client.ts. */
import type { BrokerError } from "./reasons.js";
import type { Transport } from "./transport.js";

/** One of the two ways to a peer. */
export type Lane = "reliable" | "unreliable";

/** What {@link connect} takes. */
export interface Options {
  /** Of the coordinator: `wss://host/connect`. */
  url: string;
  /** Credentials, or how to get them: asked for before each dial, and given up after 10 s. */
  token?: string | (() => string | Promise<string>);
  /** {@link Client.resumeToken} of a client before this one, to come back under its alias. */
  resume?: string;
  /** Where this is, in 1 to 64 letters, digits, `-`, `_`, `.`: servers there may be preferred. */
  region?: string;
  /** Bounds of the queue of reliable publications. */
  queue?: Partial<QueueOptions>;
  /** Unreliable packets are dropped while the channel holds back more bytes. Default 64 KiB. */
  unreliableBufferedMax?: number;
  /** Most topics at a time. Default 1,024, as servers allow by default. */
  subscriptionsMax?: number;
  /** STUN and TURN servers, if the commservers are not reachable without. */
  iceServers?: RTCIceServer[];
  /** For tests. */
  transport?: Transport;
  /** For tests. */
  random?: () => number;
}

/** What {@link Client.publish} takes. */
export interface PublishOptions {
  /** Default `reliable`. */
  lane?: Lane;
  /** Whether subscribers are told who this is, as the server verified it. */
  identity?: boolean;
}

/** Something that was published on a topic that this client is subscribed to. */
export interface Message {
  /** The publisher's alias, stamped by its server. */
  readonly from: number;
  /** Empty if the server speaks the protocol of 2019. */
  readonly topic: string;
  /** Counts from 1 per publisher, topic and lane; 0 if it is not counted. */
  readonly seq: number;
  readonly lane: Lane;
  readonly body: Uint8Array;
  /** Who published, if it was published with identity. */
  readonly sender?: Sender;
  /** The body as UTF-8. */
  text(): string;
}

/** What {@link Client.stats} tells. */
export interface ClientStats extends Stats {
  /** Round trip to the server in milliseconds, smoothed; undefined before the first echo. */
  readonly rttMs: number | undefined;
  /** Reliable publications that wait. */
  readonly queued: { readonly count: number; readonly bytes: number };
}

/** What {@link Client.on} tells. */
export interface Events {
  state: (status: Status) => void;
  message: (message: Message) => void;
  /** What went wrong without ending anything. */
  error: (error: BrokerError) => void;
}

/** Where the client stands. */
export interface Status {
  /** `reconnecting` once it has been connected, until it is again. `closed` is final. */
  readonly state: "connecting" | "connected" | "reconnecting" | "closed";
  /** What it is doing about it. */
  readonly step: "dial" | "wait" | "join" | "pause" | "none";
  /** Whether the coordinator is reached; a connected client does not need it. */
  readonly signalling: boolean;
  /** This client's alias, 0 before it has one. */
  readonly alias: number;
  /** The alias of the communication server it is on, or tries to reach; 0 for none. */
  readonly server: number;
  /** Failures in a row. */
  readonly failures: number;
  /** The last failure, or why it is closed. */
  readonly error: BrokerError | undefined;
}

/** What became of a publication. */
export type Published = "sent" | "queued" | "dropped";

/** Who published, as the server verified it. */
export interface Sender {
  /** What the authenticator made of the publisher's token. */
  readonly identity: Uint8Array;
  /** Its role: 1 for a client. */
  readonly role: number;
}

/** What happens to reliable publications that a full queue has no room for. */
export type Overflow = "rejectNew" | "dropOldest";

/** Bounds of the queue of reliable publications. */
export interface QueueOptions {
  /** Most packets; 0 makes `publish` throw unless it can be sent at once. Default 1024. */
  countMax: number;
  /** Most bytes. Default 1 MiB. */
  bytesMax: number;
  /** Default `rejectNew`. */
  overflow: Overflow;
}

/** Packets and their encoded bytes. */
export interface Traffic {
  packets: number;
  bytes: number;
}

/** Counters since the client was made. */
export interface Stats {
  readonly sent: Record<Lane, Traffic>;
  readonly received: Record<Lane, Traffic>;
  /** Publications that never left, by reason. */
  readonly dropped: {
    /** Unreliable, while there was no open lane. */
    notConnected: number;
    /** Unreliable, while the channel held back too much. */
    buffered: number;
    /** Reliable, taken from the queue by newer ones. */
    oldest: number;
    /** Reliable, over the limit of the server that the client came to. */
    tooLarge: number;
    /** Reliable, in the queue when the client was closed. */
    closed: number;
  };
  /** Frames that were not understood, by reason. */
  readonly ignored: {
    malformed: number;
    /** Types of a later protocol. */
    unknown: number;
    /** Messages on topics that were unsubscribed meanwhile. */
    unwanted: number;
    /** What this client published itself, before it came to its server. */
    ownEcho: number;
    /** Requests of a server to go that followed upon another. */
    repeated: number;
    /** Signals and answers that nobody waits for. */
    stray: number;
    /** Signals that could not be sent because the coordinator was away. */
    unsent: number;
  };
  /** Attempts to reach a communication server. */
  attempts: number;
  /** Attempts that became READY. */
  connects: number;
  /** Servers left for another one, because they asked for it. */
  moves: number;
  /** Times that the server took a new token in place of one that was about to end. */
  renewals: number;
}
