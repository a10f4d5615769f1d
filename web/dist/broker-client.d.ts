/** The types of the public interface; its functions are in client.ts. */
/** One of the two ways to a peer. */
type Lane = "reliable" | "unreliable";
/** What {@link connect} takes. */
interface Options {
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
interface PublishOptions {
    /** Default `reliable`. */
    lane?: Lane;
    /** Whether subscribers are told who this is, as the server verified it. */
    identity?: boolean;
}
/** Something that was published on a topic that this client is subscribed to. */
interface Message {
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
interface ClientStats extends Stats {
    /** Round trip to the server in milliseconds, smoothed; undefined before the first echo. */
    readonly rttMs: number | undefined;
    /** Reliable publications that wait. */
    readonly queued: {
        readonly count: number;
        readonly bytes: number;
    };
}
/** What {@link Client.on} tells. */
interface Events {
    state: (status: Status) => void;
    message: (message: Message) => void;
    /** What went wrong without ending anything. */
    error: (error: BrokerError) => void;
}
/** Where the client stands. */
interface Status {
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
type Published = "sent" | "queued" | "dropped";
/** Who published, as the server verified it. */
interface Sender {
    /** What the authenticator made of the publisher's token. */
    readonly identity: Uint8Array;
    /** Its role: 1 for a client. */
    readonly role: number;
}
/** What happens to reliable publications that a full queue has no room for. */
type Overflow = "rejectNew" | "dropOldest";
/** Bounds of the queue of reliable publications. */
interface QueueOptions {
    /** Most packets; 0 makes `publish` throw unless it can be sent at once. Default 1024. */
    countMax: number;
    /** Most bytes. Default 1 MiB. */
    bytesMax: number;
    /** Default `rejectNew`. */
    overflow: Overflow;
}
/** Packets and their encoded bytes. */
interface Traffic {
    packets: number;
    bytes: number;
}
/** Counters since the client was made. */
interface Stats {
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

/** What the client needs of the world, so that tests can stand in for the browser. */
/** The socket to the coordinator. */
interface SignallingSocket {
    send(frame: Uint8Array): void;
    /** Closes it; its sink hears nothing more. */
    close(): void;
}
/** What happens on a {@link SignallingSocket}. */
interface SignallingSink {
    frame(frame: Uint8Array): void;
    /** Closed or never opened; `code` is the WebSocket close code. */
    closed(code: number): void;
}
/** One peer, which answers offers. */
interface PeerSocket {
    signal(kind: "offer" | "candidate", json: string): void;
    send(lane: Lane, frame: Uint8Array): void;
    /** Bytes given to `send` that have not left. */
    buffered(lane: Lane): number;
    /** Closes it; its sink hears nothing more. */
    close(): void;
}
/** What happens on a {@link PeerSocket}. */
interface PeerSink {
    signal(kind: "answer" | "candidate", json: string): void;
    opened(lane: Lane): void;
    packet(lane: Lane, frame: Uint8Array): void;
    /** A lane's channel has let go of most of what it held back. */
    drained(lane: Lane): void;
    /** Gone; `code` is what the server's goodbye said, if it said something. */
    closed(code?: number): void;
}
/** Makes sockets. */
interface Transport {
    dial(url: string, protocols: string[], sink: SignallingSink): SignallingSocket;
    openPeer(sink: PeerSink): PeerSocket;
}

/** Connects, and stays connected until {@link Client.close}. */
declare function connect(options: Options): Client;
/** See {@link connect}. */
declare class Client {
    private readonly options;
    private readonly session;
    private readonly transport;
    private readonly url;
    private readonly listeners;
    private readonly requests;
    private readonly waiters;
    private signalling;
    private peer;
    private timer;
    private lastRequest;
    private dials;
    private draining;
    private readonly unlisten;
    constructor(options: Options);
    /** Where the client stands. */
    get status(): Status;
    /**
     * Given to the next client as {@link Options.resume}, it brings this one's alias back: after a
     * reload, say. It changes with the `state`; `undefined` while there is none. A secret of the one
     * who has it: of two clients that show it, the later one has the alias, the other gets a new one.
     */
    get resumeToken(): string | undefined;
    /** Adds a listener; what it returns takes it away again. */
    on<K extends keyof Events>(event: K, listener: Events[K]): () => void;
    /** Resolves when connected (at once, if it is), rejects when closed. */
    connected(): Promise<void>;
    /**
     * Subscribes, now and on every server to come. Resolves when a server has confirmed it; waits
     * for one if need be. Rejects with a {@link BrokerError}.
     */
    subscribe(topics: string | readonly string[]): Promise<void>;
    /** The opposite of {@link subscribe}. */
    unsubscribe(topics: string | readonly string[]): Promise<void>;
    /**
     * Publishes. On the reliable lane what cannot be sent now waits in the bounded queue; on the
     * unreliable lane it is dropped, and counted. Throws a {@link BrokerError} for a bad topic, a
     * packet over the limit, or a full queue that rejects.
     */
    publish(topic: string, body: string | Uint8Array, options?: PublishOptions): Published;
    /** Counters, round trip and queue. */
    stats(): ClientStats;
    /** Leaves for good. */
    close(): void;
    private handle;
    private request;
    private wait;
    private tellBuffered;
    private listenToPage;
    private drain;
    private perform;
    private askToken;
    private dial;
    private hangUp;
    private openPeer;
    private done;
    private statusChanged;
    private emit;
    private schedule;
}

/** What went wrong, as a numbered reason of the servers or one of this library's own. */
declare class BrokerError extends Error {
    /** Number in the table of docs/PROTOCOL.md; 0 when this library says it. */
    readonly code: number;
    /** Name in that table, or {@link LocalReason}. */
    readonly reason: string;
    /** Whether trying again, unchanged, may succeed. */
    readonly retryable: boolean;
    /** The topic that it is about, or an empty string. */
    readonly topic: string;
    /** How long to wait before trying again, if the server said so. */
    readonly retryAfterMs: number;
    constructor(init: {
        code?: number;
        reason: string;
        text: string;
        retryable: boolean;
        topic?: string;
        retryAfterMs?: number;
    });
}
/** Reasons that are not on the wire. */
type LocalReason = keyof typeof LOCAL;
/** The error for a reason of the table, by number. One that is not known may be tried again. */
declare function numbered(code: number, topic?: string): BrokerError;
/** The error for a reason of the table, by name. */
declare function named(name: ReasonName, topic?: string): BrokerError;
/** The token function of the application did not give one, and why. */
declare function tokenFailed(why: string): BrokerError;
/** What an ERROR packet or signal says. */
declare function fromErrorMessage(message: {
    code: number;
    topic: string;
    text: string;
    retryable: boolean;
    retry_after_ms: number;
}): BrokerError;
/** The reason in a WebSocket close code, if it is one of ours. */
declare function fromCloseCode(code: number): BrokerError | undefined;
/**
 * Why a server closed, when it could say so only with its goodbye. What is final is believed from an
 * ERROR alone, which the next attempt will bring.
 */
declare function fromGoodbye(code: number | undefined): BrokerError;
/** An error of this library's own. */
declare function local(reason: LocalReason, detail?: string): BrokerError;
/** A name in the table. */
type ReasonName = (typeof REASONS)[keyof typeof REASONS]["name"];
/** Nobody waits longer than that, whatever is asked of them. */
declare const RETRY_AFTER_MAX_MS: number;
/** Numbers from here on close nothing. */
declare const FIRST_MERE_ERROR = 100;
declare const LOCAL: {
    readonly QueueFull: {
        readonly retryable: true;
        readonly text: "the outgoing queue is full";
    };
    readonly RequestTimeout: {
        readonly retryable: true;
        readonly text: "the server did not answer the request in time";
    };
    readonly SignallingLost: {
        readonly retryable: true;
        readonly text: "the coordinator cannot be reached";
    };
    readonly CannotDial: {
        readonly retryable: false;
        readonly text: "the browser does not dial this address";
    };
    readonly NoServer: {
        readonly retryable: true;
        readonly text: "there is no communication server just now";
    };
    readonly PeerLost: {
        readonly retryable: true;
        readonly text: "the communication server cannot be reached";
    };
    readonly Suspended: {
        readonly retryable: true;
        readonly text: "the page is not shown";
    };
};

declare const REASONS: {
    readonly 1: {
        readonly name: "UnknownRole";
        readonly retryable: false;
        readonly text: "the role is not known: use COMMUNICATION_SERVER or COMMUNICATION_SERVER_HUB";
    };
    readonly 2: {
        readonly name: "Unauthenticated";
        readonly retryable: false;
        readonly text: "the credentials are missing or not valid";
    };
    readonly 3: {
        readonly name: "Forbidden";
        readonly retryable: false;
        readonly text: "the credentials do not allow this";
    };
    readonly 4: {
        readonly name: "AuthUnavailable";
        readonly retryable: true;
        readonly text: "the credentials could not be checked just now";
    };
    readonly 5: {
        readonly name: "AuthTimeout";
        readonly retryable: true;
        readonly text: "no AUTH came in time";
    };
    readonly 6: {
        readonly name: "AuthExpected";
        readonly retryable: false;
        readonly text: "the first packet on the reliable channel must be AUTH";
    };
    readonly 7: {
        readonly name: "HeldOverflow";
        readonly retryable: false;
        readonly text: "too much was sent before the authentication was decided";
    };
    readonly 8: {
        readonly name: "Overloaded";
        readonly retryable: true;
        readonly text: "the coordinator has no room for another session";
    };
    readonly 9: {
        readonly name: "ShuttingDown";
        readonly retryable: true;
        readonly text: "the server is shutting down";
    };
    readonly 10: {
        readonly name: "ServerFull";
        readonly retryable: true;
        readonly text: "the communication server has no room for another peer";
    };
    readonly 11: {
        readonly name: "SlowConsumer";
        readonly retryable: true;
        readonly text: "the peer did not keep up with what it was sent";
    };
    readonly 12: {
        readonly name: "IdleTimeout";
        readonly retryable: true;
        readonly text: "nothing was heard from the other side for too long";
    };
    readonly 13: {
        readonly name: "HandshakeTimeout";
        readonly retryable: true;
        readonly text: "the data channels did not open in time";
    };
    readonly 14: {
        readonly name: "TransportClosed";
        readonly retryable: true;
        readonly text: "the other side closed";
    };
    readonly 15: {
        readonly name: "MessageTooLarge";
        readonly retryable: false;
        readonly text: "the message is larger than the channel takes";
    };
    readonly 16: {
        readonly name: "Replaced";
        readonly retryable: true;
        readonly text: "a newer peer took this one's place";
    };
    readonly 17: {
        readonly name: "ProofFailed";
        readonly retryable: true;
        readonly text: "the server could not prove that it belongs to this cluster";
    };
    readonly 18: {
        readonly name: "ProtocolViolation";
        readonly retryable: false;
        readonly text: "the other side broke the protocol";
    };
    readonly 19: {
        readonly name: "Closed";
        readonly retryable: false;
        readonly text: "closed by its owner";
    };
    readonly 20: {
        readonly name: "SessionQueueFull";
        readonly retryable: true;
        readonly text: "the session did not keep up with what it was sent";
    };
    readonly 21: {
        readonly name: "HubTaken";
        readonly retryable: true;
        readonly text: "there is a hub already, and a star has one";
    };
    readonly 25: {
        readonly name: "TokenExpired";
        readonly retryable: true;
        readonly text: "the credentials have ended: come with new ones";
    };
    readonly 26: {
        readonly name: "Revoked";
        readonly retryable: false;
        readonly text: "the credentials have been revoked";
    };
    readonly 27: {
        readonly name: "TooManyFromAddress";
        readonly retryable: true;
        readonly text: "there are as many from this address as there may be";
    };
    readonly 28: {
        readonly name: "OriginForbidden";
        readonly retryable: false;
        readonly text: "pages of this site may not come here";
    };
    readonly 100: {
        readonly name: "PacketTooLarge";
        readonly retryable: false;
        readonly text: "the packet is larger than the server takes";
    };
    readonly 101: {
        readonly name: "BadTopic";
        readonly retryable: false;
        readonly text: "the topic is not valid";
    };
    readonly 102: {
        readonly name: "TooManySubscriptions";
        readonly retryable: false;
        readonly text: "the peer is subscribed to as many topics as it may be";
    };
    readonly 103: {
        readonly name: "BadTopicList";
        readonly retryable: false;
        readonly text: "the topic list cannot be read";
    };
    readonly 104: {
        readonly name: "Malformed";
        readonly retryable: false;
        readonly text: "the packet cannot be decoded";
    };
    readonly 105: {
        readonly name: "PeerUnavailable";
        readonly retryable: true;
        readonly text: "the peer is not there, or may not be reached from here";
    };
    readonly 106: {
        readonly name: "NotAuthenticated";
        readonly retryable: false;
        readonly text: "the peer is not authenticated";
    };
    readonly 107: {
        readonly name: "WrongLane";
        readonly retryable: false;
        readonly text: "this request goes on the reliable channel";
    };
    readonly 108: {
        readonly name: "TooManyTopics";
        readonly retryable: true;
        readonly text: "the server has as many topics as it may have";
    };
    readonly 109: {
        readonly name: "TopicForbidden";
        readonly retryable: false;
        readonly text: "the credentials do not allow this topic";
    };
    readonly 110: {
        readonly name: "SubscriptionEnded";
        readonly retryable: false;
        readonly text: "the new credentials do not allow this subscription";
    };
};

export { BrokerError, Client, connect, REASONS };
export type { Lane, Options, PublishOptions, Message, ClientStats, Events, Status, Published, Sender, Overflow, QueueOptions, Traffic, Stats, SignallingSocket, SignallingSink, PeerSocket, PeerSink, Transport, LocalReason, ReasonName };
