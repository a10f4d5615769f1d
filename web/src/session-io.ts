/** What goes into the session's state machine and what comes out; see session.ts. */
import type { Lane, QueueOptions, Status } from "./api.js";
import type { BrokerError } from "./reasons.js";
import type { Done, RequestKind } from "./subscriptions.js";
import type * as wire from "./wire.js";

/** What the session is told. */
export type Input =
  | { kind: "tick" }
  /** Closed, or never opened; `code` is the WebSocket close code. */
  | { kind: "signallingClosed"; code?: number; error?: BrokerError }
  | { kind: "signal"; frame: Uint8Array }
  | { kind: "localSignal"; peer: number; signal: "answer" | "candidate"; json: string }
  | { kind: "laneOpened"; peer: number; lane: Lane }
  /** Answers the output `askToken`. */
  | { kind: "token"; question: number; token: string }
  | { kind: "tokenFailed"; question: number; why: string }
  | { kind: "packet"; peer: number; lane: Lane; frame: Uint8Array }
  /** Bytes that a lane's channel holds back; told before a publication and when they drain. */
  | { kind: "buffered"; lane: Lane; bytes: number }
  | { kind: "peerClosed"; peer: number; code?: number }
  | { kind: RequestKind; request: number; topics: readonly string[] }
  /** The page goes to sleep (`pagehide`): say goodbye, and wait for `nudge`. */
  | { kind: "suspend" }
  /** The page is seen again, or the network is back: do not wait any longer. */
  | { kind: "nudge" }
  | { kind: "close" };

/** What the session wants done. */
export type Output =
  /** Ask the application for a token; `token` or `tokenFailed` answers. */
  | { kind: "askToken"; question: number }
  /** Open a WebSocket to the coordinator, and show it these. */
  | { kind: "dial"; token: string; resume: string | undefined }
  | { kind: "hangUp" }
  | { kind: "signal"; frame: Uint8Array }
  | { kind: "openPeer"; peer: number }
  | { kind: "remoteSignal"; peer: number; signal: "offer" | "candidate"; json: string }
  | { kind: "closePeer"; peer: number }
  | { kind: "send"; lane: Lane; frame: Uint8Array }
  | { kind: "done"; done: Done }
  | { kind: "status"; status: Status }
  | { kind: "message"; lane: Lane; packet: Forward }
  | { kind: "error"; error: BrokerError };

/** A packet that somebody published. */
export type Forward = Extract<wire.Packet, { kind: "forward" }>;

/** What the session must know before it starts. */
export interface SessionConfig {
  /** The token, which may be empty; `undefined` if the application is to be asked for it. */
  readonly token: string | undefined;
  /** A token of a session before this one, to come back under its alias. */
  readonly resume?: string | undefined;
  readonly queue: QueueOptions;
  /** Above this many bytes held back by the unreliable channel, packets are dropped. */
  readonly unreliableBufferedMax: number;
  /** Topics that may be wanted at a time. */
  readonly subscriptionsMax: number;
  /** A number in [0, 1). */
  readonly random: () => number;
}
