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
  /** Runs while the reliable channel may be less open than it says; see {@link opened}. */
  private settling: ReturnType<typeof setTimeout> | undefined;
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
    clearTimeout(this.settling);
    this.settling = undefined;
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
    if (!this.live || !lane || this.channels.has(lane)) return;
    this.channels.set(lane, channel);
    if (this.settling !== undefined) this.settle();
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
    // Comes before the close, if at all.
    channel.onerror = ({ error }) => this.fail(goodbye(error));
    channel.onclose = () => this.fail();
    channel.onopen = () => this.opened(lane);
  }

  /**
   * Chromium calls a channel of the other side's open a moment before it is, and loses without a
   * word what is sent in that moment: one thread tells the page, another opens the channel
   * (libwebrtc, `DataChannelController::OnDataChannelOpenMessage`). When the page is told of a
   * further channel, the one before it is open. If there is no further one, time has to do. On the
   * unreliable lane anything may be lost.
   */
  private opened(lane: Lane): void {
    if (!this.live) return;
    const isNewest = [...this.channels.keys()].at(-1) === lane;
    if (lane === "reliable" && isNewest) this.settling = setTimeout(() => this.settle(), SETTLE_MS);
    else this.sink.opened(lane);
  }

  private settle(): void {
    clearTimeout(this.settling);
    this.settling = undefined;
    this.sink.opened("reliable");
  }

  private fail(code?: number): void {
    if (!this.live) return;
    this.close();
    this.sink.closed(code);
  }
}

/**
 * What the SCTP ABORT of the other side says: a number, as the text of a User-Initiated Abort (RFC
 * 9260 section 3.3.10.12). Browsers pass it on within their message, if at all.
 */
function goodbye(error: RTCError): number | undefined {
  if (error.sctpCauseCode !== USER_INITIATED_ABORT) return undefined;
  const number = /\breason=(\d{1,5})\b/.exec(error.message)?.[1];
  return number === undefined ? undefined : Number(number);
}

const USER_INITIATED_ABORT = 12;

/** Much longer than a thread is kept waiting, much shorter than a handshake. */
const SETTLE_MS = 100;
/** Bytes held back below which a channel asks for more. */
const BUFFERED_LOW = 64 * 1024;
