/** What the client needs of the world, so that tests can stand in for the browser. */
import type { Lane } from "./api.js";

/** The socket to the coordinator. */
export interface SignallingSocket {
  send(frame: Uint8Array): void;
  /** Closes it; its sink hears nothing more. */
  close(): void;
}

/** What happens on a {@link SignallingSocket}. */
export interface SignallingSink {
  frame(frame: Uint8Array): void;
  /** Closed or never opened; `code` is the WebSocket close code. */
  closed(code: number): void;
}

/** One peer, which answers offers. */
export interface PeerSocket {
  signal(kind: "offer" | "candidate", json: string): void;
  send(lane: Lane, frame: Uint8Array): void;
  /** Bytes given to `send` that have not left. */
  buffered(lane: Lane): number;
  /** Closes it; its sink hears nothing more. */
  close(): void;
}

/** What happens on a {@link PeerSocket}. */
export interface PeerSink {
  signal(kind: "answer" | "candidate", json: string): void;
  opened(lane: Lane): void;
  packet(lane: Lane, frame: Uint8Array): void;
  /** A lane's channel has let go of most of what it held back. */
  drained(lane: Lane): void;
  /** Gone; `code` is what the server's goodbye said, if it said something. */
  closed(code?: number): void;
}

/** Makes sockets. */
export interface Transport {
  dial(url: string, protocols: string[], sink: SignallingSink): SignallingSocket;
  openPeer(sink: PeerSink): PeerSocket;
}
