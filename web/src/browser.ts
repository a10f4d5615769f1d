/**
 * The browser's WebSocket and RTCPeerConnection. No decisions here: what happens is told to a
 * sink, what is asked is done.
 */
import type { Lane } from "./api.js";
import { LANES } from "./outbox.js";
import type {
  PeerSink,
  PeerSocket,
  SignallingSink,
  SignallingSocket,
  Transport,
} from "./transport.js";

/** The browser's own. */
export class BrowserTransport implements Transport {
  constructor(private readonly rtc: RTCConfiguration) {}

  dial(url: string, protocols: string[], sink: SignallingSink): SignallingSocket {
    const socket = new WebSocket(url, protocols);
    socket.binaryType = "arraybuffer";
    let live = true;
    socket.onmessage = ({ data }) => {
      if (live && data instanceof ArrayBuffer) sink.frame(new Uint8Array(data));
    };
    socket.onclose = ({ code }) => {
      if (live) sink.closed(code);
      live = false;
    };
    return {
      send: (frame) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(frame as BufferSource);
      },
      close: () => {
        live = false;
        socket.close(1000);
      },
    };
  }

  openPeer(sink: PeerSink): PeerSocket {
    return new BrowserPeer(this.rtc, sink);
  }
}

class BrowserPeer implements PeerSocket {
  private readonly connection: RTCPeerConnection;
  private readonly channels = new Map<Lane, RTCDataChannel>();
  /** Descriptions and candidates are applied one after the other, in the order of their coming. */
  private steps: Promise<void> = Promise.resolve();
  private live = true;

  constructor(
    config: RTCConfiguration,
    private readonly sink: PeerSink,
  ) {
    this.connection = new RTCPeerConnection(config);
    this.connection.onicecandidate = ({ candidate }) => {
      if (this.live && candidate?.candidate) sink.signal("candidate", JSON.stringify(candidate));
    };
    this.connection.ondatachannel = ({ channel }) => this.adopt(channel);
    this.connection.onconnectionstatechange = () => {
      // "disconnected" is not a death: it may come back, and the session pings.
      const { connectionState } = this.connection;
      if (connectionState === "failed" || connectionState === "closed") this.fail();
    };
  }

  signal(kind: "offer" | "candidate", json: string): void {
    this.steps = this.steps
      .then(() => (this.live ? this.apply(kind, json) : undefined))
      .catch((error) => this.refuse(kind, error));
  }

  send(lane: Lane, frame: Uint8Array): void {
    const channel = this.channels.get(lane);
    if (channel?.readyState !== "open") return;
    try {
      channel.send(frame as Uint8Array<ArrayBuffer>);
    } catch {
      // Its buffer is full or it is closing: this peer is of no more use.
      this.fail();
    }
  }

  buffered(lane: Lane): number {
    return this.channels.get(lane)?.bufferedAmount ?? 0;
  }

  close(): void {
    this.live = false;
    this.connection.close();
  }

  private async apply(kind: "offer" | "candidate", json: string): Promise<void> {
    const init: unknown = JSON.parse(json);
    if (kind === "candidate") {
      await this.connection.addIceCandidate(init as RTCIceCandidateInit);
      return;
    }
    await this.connection.setRemoteDescription(init as RTCSessionDescriptionInit);
    await this.connection.setLocalDescription();
    const { localDescription } = this.connection;
    if (this.live && localDescription) {
      this.sink.signal("answer", JSON.stringify({ type: "answer", sdp: localDescription.sdp }));
    }
  }

  /** A candidate of a kind unknown here is nothing; an offer that cannot be answered is the end. */
  private refuse(kind: "offer" | "candidate", error: unknown): void {
    if (!this.live) return;
    console.warn(`webrtc-broker: the ${kind} was not taken`, error);
    if (kind === "offer") this.fail();
  }

  private adopt(channel: RTCDataChannel): void {
    const lane = LANES.find((label) => label === channel.label);
    if (!lane || this.channels.has(lane)) return;
    this.channels.set(lane, channel);
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = BUFFERED_LOW;
    channel.onmessage = ({ data }) => {
      if (!this.live) return;
      const bytes =
        typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
      this.sink.packet(lane, bytes);
    };
    channel.onbufferedamountlow = () => {
      if (this.live) this.sink.drained(lane);
    };
    channel.onclose = () => this.fail();
    channel.onopen = () => {
      if (this.live) this.sink.opened(lane);
    };
    if (channel.readyState === "open") this.sink.opened(lane);
  }

  private fail(): void {
    if (!this.live) return;
    this.close();
    this.sink.closed();
  }
}

/** Bytes held back below which a channel asks for more. */
const BUFFERED_LOW = 64 * 1024;
