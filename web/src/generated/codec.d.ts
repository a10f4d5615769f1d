// Generated from proto/schema/broker.proto by `npm run generate`; do not edit.
import type { PbfReader, PbfWriter } from "pbf";

export declare const MessageType: {
  readonly UNKNOWN_MESSAGE_TYPE: 0;
  readonly WELCOME: 1;
  readonly CONNECT: 2;
  readonly WEBRTC_OFFER: 3;
  readonly WEBRTC_ANSWER: 4;
  readonly WEBRTC_ICE_CANDIDATE: 5;
  readonly PING: 6;
  readonly SUBSCRIPTION: 7;
  readonly AUTH: 8;
  readonly TOPIC: 9;
  readonly TOPIC_FW: 10;
  readonly TOPIC_IDENTITY: 11;
  readonly TOPIC_IDENTITY_FW: 12;
  readonly CONNECTION_REFUSED: 13;
  readonly ERROR: 14;
  readonly READY: 32;
  readonly SERVERS: 33;
  readonly SUBSCRIBE: 34;
  readonly UNSUBSCRIBE: 35;
  readonly ACK: 36;
  readonly INTEREST: 37;
  readonly PEER_GONE: 38;
  readonly REPLACED: 39;
  readonly MIGRATE: 40;
  readonly REFRESH: 41;
  readonly LOAD: 43;
  readonly RENAMED: 44;
  readonly REVOKED: 45;
};

export declare const Role: {
  readonly UNKNOWN_ROLE: 0;
  readonly CLIENT: 1;
  readonly COMMUNICATION_SERVER: 2;
  readonly COMMUNICATION_SERVER_HUB: 3;
};

export declare const Format: {
  readonly UNKNOWN_FORMAT: 0;
  readonly PLAIN: 1;
  readonly GZIP: 2;
};

export declare const ConnectionRefusedReason: {
  readonly UNKNOWN_REASON: 0;
  readonly SERVER_FULL: 1;
  readonly AUTH_FAILED: 2;
};

export declare const Capability: {
  readonly UNKNOWN_CAPABILITY: 0;
  readonly FORWARD_TOPIC: 1;
  readonly REQUESTS: 2;
  readonly DELTA_INTEREST: 3;
};

export declare const ServerState: {
  readonly UNKNOWN_SERVER_STATE: 0;
  readonly LIVE: 1;
  readonly FULL: 2;
  readonly DRAINING: 3;
};

export interface MessageHeader {
  type: number;
}
export declare function readMessageHeader(pbf: PbfReader, end?: number): MessageHeader;
export declare function writeMessageHeader(message: Partial<MessageHeader>, pbf: PbfWriter): void;

export interface WelcomeMessage {
  type: number;
  alias: number;
  available_servers: number[];
  capabilities: number[];
  resume_token: string;
}
export declare function readWelcomeMessage(pbf: PbfReader, end?: number): WelcomeMessage;
export declare function writeWelcomeMessage(message: Partial<WelcomeMessage>, pbf: PbfWriter): void;

export interface ConnectMessage {
  type: number;
  from_alias: number;
  to_alias: number;
  from_role: number;
}
export declare function readConnectMessage(pbf: PbfReader, end?: number): ConnectMessage;
export declare function writeConnectMessage(message: Partial<ConnectMessage>, pbf: PbfWriter): void;

export interface WebRtcMessage {
  type: number;
  from_alias: number;
  to_alias: number;
  data?: Uint8Array | undefined;
  from_role: number;
}
export declare function readWebRtcMessage(pbf: PbfReader, end?: number): WebRtcMessage;
export declare function writeWebRtcMessage(message: Partial<WebRtcMessage>, pbf: PbfWriter): void;

export interface ConnectionRefusedMessage {
  type: number;
  from_alias: number;
  to_alias: number;
  reason: number;
  data?: Uint8Array | undefined;
  code: number;
}
export declare function readConnectionRefusedMessage(pbf: PbfReader, end?: number): ConnectionRefusedMessage;
export declare function writeConnectionRefusedMessage(message: Partial<ConnectionRefusedMessage>, pbf: PbfWriter): void;

export interface ServersMessage {
  type: number;
  version: number;
  entries: ServerEntry[];
}
export declare function readServersMessage(pbf: PbfReader, end?: number): ServersMessage;
export declare function writeServersMessage(message: Partial<ServersMessage>, pbf: PbfWriter): void;

export interface ServerEntry {
  alias: number;
  role: number;
  region: string;
  state: number;
  endpoints: string[];
}
export declare function readServerEntry(pbf: PbfReader, end?: number): ServerEntry;
export declare function writeServerEntry(message: Partial<ServerEntry>, pbf: PbfWriter): void;

export interface LoadMessage {
  type: number;
  state: number;
  peers: number;
  peers_max: number;
  packets_per_s: number;
  cpu_permille: number;
}
export declare function readLoadMessage(pbf: PbfReader, end?: number): LoadMessage;
export declare function writeLoadMessage(message: Partial<LoadMessage>, pbf: PbfWriter): void;

export interface PeerGoneMessage {
  type: number;
  alias: number;
}
export declare function readPeerGoneMessage(pbf: PbfReader, end?: number): PeerGoneMessage;
export declare function writePeerGoneMessage(message: Partial<PeerGoneMessage>, pbf: PbfWriter): void;

export interface ReplacedMessage {
  type: number;
}
export declare function readReplacedMessage(pbf: PbfReader, end?: number): ReplacedMessage;
export declare function writeReplacedMessage(message: Partial<ReplacedMessage>, pbf: PbfWriter): void;

export interface PingMessage {
  type: number;
  time: number;
}
export declare function readPingMessage(pbf: PbfReader, end?: number): PingMessage;
export declare function writePingMessage(message: Partial<PingMessage>, pbf: PbfWriter): void;

export interface SubscriptionMessage {
  type: number;
  format: number;
  topics?: Uint8Array | undefined;
}
export declare function readSubscriptionMessage(pbf: PbfReader, end?: number): SubscriptionMessage;
export declare function writeSubscriptionMessage(message: Partial<SubscriptionMessage>, pbf: PbfWriter): void;

export interface AuthMessage {
  type: number;
  role: number;
  body?: Uint8Array | undefined;
  capabilities: number[];
  instance: number;
}
export declare function readAuthMessage(pbf: PbfReader, end?: number): AuthMessage;
export declare function writeAuthMessage(message: Partial<AuthMessage>, pbf: PbfWriter): void;

export interface ReadyMessage {
  type: number;
  alias: number;
  capabilities: number[];
  packet_limit: number;
  server_time_ms: number;
  proof?: Uint8Array | undefined;
  instance: number;
}
export declare function readReadyMessage(pbf: PbfReader, end?: number): ReadyMessage;
export declare function writeReadyMessage(message: Partial<ReadyMessage>, pbf: PbfWriter): void;

export interface TopicMessage {
  type: number;
  from_alias: number;
  topic: string;
  body?: Uint8Array | undefined;
  hops: number;
  seq: number;
}
export declare function readTopicMessage(pbf: PbfReader, end?: number): TopicMessage;
export declare function writeTopicMessage(message: Partial<TopicMessage>, pbf: PbfWriter): void;

export interface TopicFwMessage {
  type: number;
  from_alias: number;
  body?: Uint8Array | undefined;
  topic: string;
  seq: number;
}
export declare function readTopicFwMessage(pbf: PbfReader, end?: number): TopicFwMessage;
export declare function writeTopicFwMessage(message: Partial<TopicFwMessage>, pbf: PbfWriter): void;

export interface TopicIdentityMessage {
  type: number;
  from_alias: number;
  topic: string;
  identity?: Uint8Array | undefined;
  role: number;
  body?: Uint8Array | undefined;
  hops: number;
  seq: number;
}
export declare function readTopicIdentityMessage(pbf: PbfReader, end?: number): TopicIdentityMessage;
export declare function writeTopicIdentityMessage(message: Partial<TopicIdentityMessage>, pbf: PbfWriter): void;

export interface TopicIdentityFwMessage {
  type: number;
  from_alias: number;
  identity?: Uint8Array | undefined;
  role: number;
  body?: Uint8Array | undefined;
  topic: string;
  seq: number;
}
export declare function readTopicIdentityFwMessage(pbf: PbfReader, end?: number): TopicIdentityFwMessage;
export declare function writeTopicIdentityFwMessage(message: Partial<TopicIdentityFwMessage>, pbf: PbfWriter): void;

export interface SubscribeMessage {
  type: number;
  id: number;
  entries: SubscriptionEntry[];
}
export declare function readSubscribeMessage(pbf: PbfReader, end?: number): SubscribeMessage;
export declare function writeSubscribeMessage(message: Partial<SubscribeMessage>, pbf: PbfWriter): void;

export interface UnsubscribeMessage {
  type: number;
  id: number;
  entries: SubscriptionEntry[];
}
export declare function readUnsubscribeMessage(pbf: PbfReader, end?: number): UnsubscribeMessage;
export declare function writeUnsubscribeMessage(message: Partial<UnsubscribeMessage>, pbf: PbfWriter): void;

export interface SubscriptionEntry {
  topic: string;
  options?: SubscriptionOptions | undefined;
}
export declare function readSubscriptionEntry(pbf: PbfReader, end?: number): SubscriptionEntry;
export declare function writeSubscriptionEntry(message: Partial<SubscriptionEntry>, pbf: PbfWriter): void;

export interface SubscriptionOptions {
}
export declare function readSubscriptionOptions(pbf: PbfReader, end?: number): SubscriptionOptions;
export declare function writeSubscriptionOptions(message: Partial<SubscriptionOptions>, pbf: PbfWriter): void;

export interface AckMessage {
  type: number;
  id: number;
}
export declare function readAckMessage(pbf: PbfReader, end?: number): AckMessage;
export declare function writeAckMessage(message: Partial<AckMessage>, pbf: PbfWriter): void;

export interface ErrorMessage {
  type: number;
  code: number;
  id: number;
  topic: string;
  text: string;
  retryable: boolean;
  retry_after_ms: number;
  alias: number;
}
export declare function readErrorMessage(pbf: PbfReader, end?: number): ErrorMessage;
export declare function writeErrorMessage(message: Partial<ErrorMessage>, pbf: PbfWriter): void;

export interface InterestMessage {
  type: number;
  version: number;
  add: string[];
  remove: string[];
  snapshot_begin: boolean;
  snapshot_end: boolean;
}
export declare function readInterestMessage(pbf: PbfReader, end?: number): InterestMessage;
export declare function writeInterestMessage(message: Partial<InterestMessage>, pbf: PbfWriter): void;

export interface MigrateMessage {
  type: number;
  within_ms: number;
}
export declare function readMigrateMessage(pbf: PbfReader, end?: number): MigrateMessage;
export declare function writeMigrateMessage(message: Partial<MigrateMessage>, pbf: PbfWriter): void;

export interface RenamedMessage {
  type: number;
  alias: number;
}
export declare function readRenamedMessage(pbf: PbfReader, end?: number): RenamedMessage;
export declare function writeRenamedMessage(message: Partial<RenamedMessage>, pbf: PbfWriter): void;

export interface RefreshMessage {
  type: number;
  within_ms: number;
}
export declare function readRefreshMessage(pbf: PbfReader, end?: number): RefreshMessage;
export declare function writeRefreshMessage(message: Partial<RefreshMessage>, pbf: PbfWriter): void;

export interface RevokedMessage {
  type: number;
  entries: RevokedEntry[];
}
export declare function readRevokedMessage(pbf: PbfReader, end?: number): RevokedMessage;
export declare function writeRevokedMessage(message: Partial<RevokedMessage>, pbf: PbfWriter): void;

export interface RevokedEntry {
  identity?: Uint8Array | undefined;
  token_id: string;
  alias: number;
  for_s: number;
}
export declare function readRevokedEntry(pbf: PbfReader, end?: number): RevokedEntry;
export declare function writeRevokedEntry(message: Partial<RevokedEntry>, pbf: PbfWriter): void;
