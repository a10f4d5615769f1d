/**
 * Frames to values and back: the signals and packets that a client reads and writes. Everything
 * else on the wire is skipped and counted by whoever calls. No state, no sockets.
 */
import type { Sender } from "./api.js";
import { PbfReader, PbfWriter } from "pbf";
import * as codec from "./generated/codec.js";
import { MessageType } from "./generated/codec.js";

export {
  Capability,
  ConnectionRefusedReason,
  Format,
  MessageType,
  Role,
} from "./generated/codec.js";

/** What a client takes from the coordinator. */
export type Signal =
  | { kind: "welcome"; alias: number; servers: number[]; ours: boolean; resume: string }
  | { kind: "offer" | "candidate"; from: number; json: string }
  | { kind: "refused"; from: number; reason: number; code: number }
  | { kind: "servers"; version: number; entries: codec.ServerEntry[] }
  | { kind: "replaced" }
  | { kind: "error"; error: codec.ErrorMessage }
  | { kind: "skipped"; type: number };

/** What a client takes from a commserver. */
export type Packet =
  | { kind: "forward"; from: number; topic: string; seq: number; body: Bytes; sender?: Sender }
  | { kind: "ready"; ready: codec.ReadyMessage }
  | { kind: "ack"; id: number }
  | { kind: "error"; error: codec.ErrorMessage }
  | { kind: "ping"; time: number }
  | { kind: "peerGone"; alias: number }
  | { kind: "migrate"; withinMs: number }
  | { kind: "refresh" }
  | { kind: "skipped"; type: number };

type Bytes = Uint8Array;
type Read<T> = (reader: PbfReader, end?: number) => T;
type Write<T> = (message: Partial<T>, writer: PbfWriter) => void;

/** A frame that is not what its type says. */
export class Malformed extends Error {}

/** Decodes a frame from the coordinator. Throws {@link Malformed}. */
export function decodeSignal(frame: Bytes): Signal {
  const { type } = decode(codec.readMessageHeader, frame);
  switch (type) {
    case MessageType.WELCOME: {
      const welcome = decode(codec.readWelcomeMessage, frame);
      const { alias, available_servers: servers, capabilities, resume_token: resume } = welcome;
      return { kind: "welcome", alias, servers, ours: capabilities.length > 0, resume };
    }
    case MessageType.WEBRTC_OFFER:
    case MessageType.WEBRTC_ICE_CANDIDATE: {
      const { from_alias: from, data } = decode(codec.readWebRtcMessage, frame);
      const kind = type === MessageType.WEBRTC_OFFER ? "offer" : "candidate";
      return { kind, from, json: text(data ?? EMPTY) };
    }
    case MessageType.CONNECTION_REFUSED: {
      const refused = decode(codec.readConnectionRefusedMessage, frame);
      const { from_alias: from, reason, code } = refused;
      return { kind: "refused", from, reason, code };
    }
    case MessageType.SERVERS: {
      const { version, entries } = decode(codec.readServersMessage, frame);
      return { kind: "servers", version, entries };
    }
    case MessageType.REPLACED:
      decode(codec.readReplacedMessage, frame);
      return { kind: "replaced" };
    case MessageType.ERROR:
      return { kind: "error", error: decode(codec.readErrorMessage, frame) };
    default:
      return { kind: "skipped", type };
  }
}

/** Decodes a frame from a commserver. Throws {@link Malformed}. */
export function decodePacket(frame: Bytes): Packet {
  const { type } = decode(codec.readMessageHeader, frame);
  switch (type) {
    case MessageType.TOPIC_FW: {
      const packet = decode(codec.readTopicFwMessage, frame);
      const { from_alias: from, topic, seq, body = EMPTY } = packet;
      return { kind: "forward", from, topic, seq, body };
    }
    case MessageType.TOPIC_IDENTITY_FW: {
      const packet = decode(codec.readTopicIdentityFwMessage, frame);
      const { from_alias: from, topic, seq, body = EMPTY, identity = EMPTY, role } = packet;
      return { kind: "forward", from, topic, seq, body, sender: { identity, role } };
    }
    case MessageType.READY:
      return { kind: "ready", ready: decode(codec.readReadyMessage, frame) };
    case MessageType.ACK:
      return { kind: "ack", id: decode(codec.readAckMessage, frame).id };
    case MessageType.ERROR:
      return { kind: "error", error: decode(codec.readErrorMessage, frame) };
    case MessageType.PING:
      return { kind: "ping", time: decode(codec.readPingMessage, frame).time };
    case MessageType.PEER_GONE:
      return { kind: "peerGone", alias: decode(codec.readPeerGoneMessage, frame).alias };
    case MessageType.REFRESH:
      decode(codec.readRefreshMessage, frame);
      return { kind: "refresh" };
    case MessageType.MIGRATE:
      return { kind: "migrate", withinMs: decode(codec.readMigrateMessage, frame).within_ms };
    default:
      return { kind: "skipped", type };
  }
}

/** CONNECT: asks a server, by way of the coordinator, to make an offer. */
export const connectFrame = (to_alias: number): Bytes =>
  encode(codec.writeConnectMessage, { type: MessageType.CONNECT, to_alias });

/** WEBRTC_ANSWER or WEBRTC_ICE_CANDIDATE, its `data` given as JSON. */
export function rtcFrame(kind: "answer" | "candidate", to_alias: number, json: string): Bytes {
  const type = kind === "answer" ? MessageType.WEBRTC_ANSWER : MessageType.WEBRTC_ICE_CANDIDATE;
  return encode(codec.writeWebRtcMessage, { type, to_alias, data: utf8(json) });
}

/** AUTH as a client that speaks this project's protocol. */
export const authFrame = (body: Bytes): Bytes =>
  encode(codec.writeAuthMessage, {
    type: MessageType.AUTH,
    role: codec.Role.CLIENT,
    ...given("body", body),
    capabilities: [codec.Capability.FORWARD_TOPIC, codec.Capability.REQUESTS],
  });

/** PING, which the server echoes byte for byte. */
export const pingFrame = (time: number): Bytes =>
  encode(codec.writePingMessage, { type: MessageType.PING, time });

/** SUBSCRIBE or UNSUBSCRIBE. */
export function requestFrame(kind: "subscribe" | "unsubscribe", id: number, topics: string[]) {
  const type = kind === "subscribe" ? MessageType.SUBSCRIBE : MessageType.UNSUBSCRIBE;
  return encode(codec.writeSubscribeMessage, {
    type,
    id,
    entries: topics.map((topic) => ({ topic })),
  });
}

/** SUBSCRIPTION with the whole set, for servers of 2019. */
export function subscriptionFrame(topics: Iterable<string>): Bytes {
  const list = utf8([...topics].join(" "));
  return encode(codec.writeSubscriptionMessage, {
    type: MessageType.SUBSCRIPTION,
    format: codec.Format.PLAIN,
    ...given("topics", list),
  });
}

/** TOPIC or TOPIC_IDENTITY as a client publishes it. */
export function publishFrame(topic: string, body: Bytes, seq: number, identity: boolean): Bytes {
  return identity
    ? encode(codec.writeTopicIdentityMessage, {
        type: MessageType.TOPIC_IDENTITY,
        topic,
        ...given("body", body),
        seq,
      })
    : encode(codec.writeTopicMessage, {
        type: MessageType.TOPIC,
        topic,
        ...given("body", body),
        seq,
      });
}

/** Decodes the whole of a frame: what is cut short or goes on behind the end is malformed. */
export function decode<T>(read: Read<T>, frame: Bytes): T {
  const reader = new PbfReader(frame);
  let message: T;
  try {
    message = read(reader, frame.length);
  } catch (cause) {
    throw new Malformed("cannot be decoded", { cause });
  }
  if (reader.pos !== frame.length) throw new Malformed("a field runs over the end");
  return message;
}

/** Encodes a message; the frame is a copy of its own. */
export function encode<T>(write: Write<T>, message: Partial<T>): Bytes {
  const writer = new PbfWriter();
  write(message, writer);
  return writer.finish();
}

/** UTF-8 of a string. */
export const utf8 = (value: string): Bytes => ENCODER.encode(value);

/** The string that UTF-8 bytes spell; what is not UTF-8 becomes U+FFFD. */
export const text = (bytes: Bytes): string => DECODER.decode(bytes);

/** Whether it may stand as an entry in a header such as `Sec-WebSocket-Protocol` (RFC 9110). */
export const isHeaderToken = (value: string): boolean => /^[!#$%&'*+.^_`|~\w-]+$/.test(value);

/** Base64url without padding. */
export function base64url(bytes: Bytes): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** An empty `bytes` field is left out, as every other encoder does. */
function given<K extends string>(key: K, bytes: Bytes): { [key in K]?: Bytes } {
  return bytes.length > 0 ? ({ [key]: bytes } as { [key in K]?: Bytes }) : {};
}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();
const EMPTY = new Uint8Array();
