// Generated from proto/schema/broker.proto by `npm run generate`; do not edit.

export const MessageType = {
    "UNKNOWN_MESSAGE_TYPE": 0,
    "WELCOME": 1,
    "CONNECT": 2,
    "WEBRTC_OFFER": 3,
    "WEBRTC_ANSWER": 4,
    "WEBRTC_ICE_CANDIDATE": 5,
    "PING": 6,
    "SUBSCRIPTION": 7,
    "AUTH": 8,
    "TOPIC": 9,
    "TOPIC_FW": 10,
    "TOPIC_IDENTITY": 11,
    "TOPIC_IDENTITY_FW": 12,
    "CONNECTION_REFUSED": 13,
    "ERROR": 14,
    "READY": 32,
    "SERVERS": 33,
    "SUBSCRIBE": 34,
    "UNSUBSCRIBE": 35,
    "ACK": 36,
    "INTEREST": 37,
    "PEER_GONE": 38,
    "REPLACED": 39,
    "MIGRATE": 40,
    "REFRESH": 41,
    "LOAD": 43,
    "RENAMED": 44,
    "REVOKED": 45
};

export const Role = {
    "UNKNOWN_ROLE": 0,
    "CLIENT": 1,
    "COMMUNICATION_SERVER": 2,
    "COMMUNICATION_SERVER_HUB": 3
};

export const Format = {
    "UNKNOWN_FORMAT": 0,
    "PLAIN": 1,
    "GZIP": 2
};

export const ConnectionRefusedReason = {
    "UNKNOWN_REASON": 0,
    "SERVER_FULL": 1,
    "AUTH_FAILED": 2
};

export const Capability = {
    "UNKNOWN_CAPABILITY": 0,
    "FORWARD_TOPIC": 1,
    "REQUESTS": 2,
    "DELTA_INTEREST": 3
};

export const ServerState = {
    "UNKNOWN_SERVER_STATE": 0,
    "LIVE": 1,
    "FULL": 2,
    "DRAINING": 3
};

export function readMessageHeader(pbf, end) {
    const obj = {type: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
    }
    return obj;
}
export function writeMessageHeader(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
}

export function readWelcomeMessage(pbf, end) {
    const obj = {type: 0, alias: 0, available_servers: [], capabilities: [], resume_token: ""};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.alias = pbf.readVarint();
        else if (field === 3) pbf.readPackedVarint(obj.available_servers);
        else if (field === 16) pbf.readPackedVarint(obj.capabilities);
        else if (field === 18) obj.resume_token = pbf.readString();
    }
    return obj;
}
export function writeWelcomeMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.alias) pbf.writeVarintField(2, obj.alias);
    if (obj.available_servers) pbf.writePackedVarint(3, obj.available_servers);
    if (obj.capabilities) pbf.writePackedVarint(16, obj.capabilities);
    if (obj.resume_token) pbf.writeStringField(18, obj.resume_token);
}

export function readConnectMessage(pbf, end) {
    const obj = {type: 0, from_alias: 0, to_alias: 0, from_role: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.from_alias = pbf.readVarint();
        else if (field === 3) obj.to_alias = pbf.readVarint();
        else if (field === 16) obj.from_role = pbf.readVarint();
    }
    return obj;
}
export function writeConnectMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.from_alias) pbf.writeVarintField(2, obj.from_alias);
    if (obj.to_alias) pbf.writeVarintField(3, obj.to_alias);
    if (obj.from_role) pbf.writeVarintField(16, obj.from_role);
}

export function readWebRtcMessage(pbf, end) {
    const obj = {type: 0, from_alias: 0, to_alias: 0, data: undefined, from_role: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.from_alias = pbf.readVarint();
        else if (field === 3) obj.to_alias = pbf.readVarint();
        else if (field === 4) obj.data = pbf.readBytes();
        else if (field === 16) obj.from_role = pbf.readVarint();
    }
    return obj;
}
export function writeWebRtcMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.from_alias) pbf.writeVarintField(2, obj.from_alias);
    if (obj.to_alias) pbf.writeVarintField(3, obj.to_alias);
    if (obj.data != null) pbf.writeBytesField(4, obj.data);
    if (obj.from_role) pbf.writeVarintField(16, obj.from_role);
}

export function readConnectionRefusedMessage(pbf, end) {
    const obj = {type: 0, from_alias: 0, to_alias: 0, reason: 0, data: undefined, code: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.from_alias = pbf.readVarint();
        else if (field === 3) obj.to_alias = pbf.readVarint();
        else if (field === 4) obj.reason = pbf.readVarint();
        else if (field === 5) obj.data = pbf.readBytes();
        else if (field === 16) obj.code = pbf.readVarint();
    }
    return obj;
}
export function writeConnectionRefusedMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.from_alias) pbf.writeVarintField(2, obj.from_alias);
    if (obj.to_alias) pbf.writeVarintField(3, obj.to_alias);
    if (obj.reason) pbf.writeVarintField(4, obj.reason);
    if (obj.data != null) pbf.writeBytesField(5, obj.data);
    if (obj.code) pbf.writeVarintField(16, obj.code);
}

export function readServersMessage(pbf, end) {
    const obj = {type: 0, version: 0, entries: []};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.version = pbf.readVarint();
        else if (field === 3) obj.entries.push(readServerEntry(pbf, pbf.readVarint() + pbf.pos));
    }
    return obj;
}
export function writeServersMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.version) pbf.writeVarintField(2, obj.version);
    if (obj.entries) for (const item of obj.entries) pbf.writeMessage(3, writeServerEntry, item);
}

export function readServerEntry(pbf, end) {
    const obj = {alias: 0, role: 0, region: "", state: 0, endpoints: []};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.alias = pbf.readVarint();
        else if (field === 2) obj.role = pbf.readVarint();
        else if (field === 3) obj.region = pbf.readString();
        else if (field === 4) obj.state = pbf.readVarint();
        else if (field === 5) obj.endpoints.push(pbf.readString());
    }
    return obj;
}
export function writeServerEntry(obj, pbf) {
    if (obj.alias) pbf.writeVarintField(1, obj.alias);
    if (obj.role) pbf.writeVarintField(2, obj.role);
    if (obj.region) pbf.writeStringField(3, obj.region);
    if (obj.state) pbf.writeVarintField(4, obj.state);
    if (obj.endpoints) for (const item of obj.endpoints) pbf.writeStringField(5, item);
}

export function readLoadMessage(pbf, end) {
    const obj = {type: 0, state: 0, peers: 0, peers_max: 0, packets_per_s: 0, cpu_permille: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.state = pbf.readVarint();
        else if (field === 3) obj.peers = pbf.readVarint();
        else if (field === 4) obj.peers_max = pbf.readVarint();
        else if (field === 5) obj.packets_per_s = pbf.readVarint();
        else if (field === 6) obj.cpu_permille = pbf.readVarint();
    }
    return obj;
}
export function writeLoadMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.state) pbf.writeVarintField(2, obj.state);
    if (obj.peers) pbf.writeVarintField(3, obj.peers);
    if (obj.peers_max) pbf.writeVarintField(4, obj.peers_max);
    if (obj.packets_per_s) pbf.writeVarintField(5, obj.packets_per_s);
    if (obj.cpu_permille) pbf.writeVarintField(6, obj.cpu_permille);
}

export function readPeerGoneMessage(pbf, end) {
    const obj = {type: 0, alias: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.alias = pbf.readVarint();
    }
    return obj;
}
export function writePeerGoneMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.alias) pbf.writeVarintField(2, obj.alias);
}

export function readReplacedMessage(pbf, end) {
    const obj = {type: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
    }
    return obj;
}
export function writeReplacedMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
}

export function readPingMessage(pbf, end) {
    const obj = {type: 0, time: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.time = pbf.readDouble();
    }
    return obj;
}
export function writePingMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.time) pbf.writeDoubleField(2, obj.time);
}

export function readSubscriptionMessage(pbf, end) {
    const obj = {type: 0, format: 0, topics: undefined};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.format = pbf.readVarint();
        else if (field === 3) obj.topics = pbf.readBytes();
    }
    return obj;
}
export function writeSubscriptionMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.format) pbf.writeVarintField(2, obj.format);
    if (obj.topics != null) pbf.writeBytesField(3, obj.topics);
}

export function readAuthMessage(pbf, end) {
    const obj = {type: 0, role: 0, body: undefined, capabilities: [], instance: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.role = pbf.readVarint();
        else if (field === 3) obj.body = pbf.readBytes();
        else if (field === 16) pbf.readPackedVarint(obj.capabilities);
        else if (field === 17) obj.instance = pbf.readVarint();
    }
    return obj;
}
export function writeAuthMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.role) pbf.writeVarintField(2, obj.role);
    if (obj.body != null) pbf.writeBytesField(3, obj.body);
    if (obj.capabilities) pbf.writePackedVarint(16, obj.capabilities);
    if (obj.instance) pbf.writeVarintField(17, obj.instance);
}

export function readReadyMessage(pbf, end) {
    const obj = {type: 0, alias: 0, capabilities: [], packet_limit: 0, server_time_ms: 0, proof: undefined, instance: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.alias = pbf.readVarint();
        else if (field === 3) pbf.readPackedVarint(obj.capabilities);
        else if (field === 4) obj.packet_limit = pbf.readVarint();
        else if (field === 5) obj.server_time_ms = pbf.readVarint();
        else if (field === 6) obj.proof = pbf.readBytes();
        else if (field === 7) obj.instance = pbf.readVarint();
    }
    return obj;
}
export function writeReadyMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.alias) pbf.writeVarintField(2, obj.alias);
    if (obj.capabilities) pbf.writePackedVarint(3, obj.capabilities);
    if (obj.packet_limit) pbf.writeVarintField(4, obj.packet_limit);
    if (obj.server_time_ms) pbf.writeVarintField(5, obj.server_time_ms);
    if (obj.proof != null) pbf.writeBytesField(6, obj.proof);
    if (obj.instance) pbf.writeVarintField(7, obj.instance);
}

export function readTopicMessage(pbf, end) {
    const obj = {type: 0, from_alias: 0, topic: "", body: undefined, hops: 0, seq: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.from_alias = pbf.readVarint();
        else if (field === 3) obj.topic = pbf.readString();
        else if (field === 4) obj.body = pbf.readBytes();
        else if (field === 16) obj.hops = pbf.readVarint();
        else if (field === 17) obj.seq = pbf.readVarint();
    }
    return obj;
}
export function writeTopicMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.from_alias) pbf.writeVarintField(2, obj.from_alias);
    if (obj.topic) pbf.writeStringField(3, obj.topic);
    if (obj.body != null) pbf.writeBytesField(4, obj.body);
    if (obj.hops) pbf.writeVarintField(16, obj.hops);
    if (obj.seq) pbf.writeVarintField(17, obj.seq);
}

export function readTopicFwMessage(pbf, end) {
    const obj = {type: 0, from_alias: 0, body: undefined, topic: "", seq: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.from_alias = pbf.readVarint();
        else if (field === 3) obj.body = pbf.readBytes();
        else if (field === 16) obj.topic = pbf.readString();
        else if (field === 17) obj.seq = pbf.readVarint();
    }
    return obj;
}
export function writeTopicFwMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.from_alias) pbf.writeVarintField(2, obj.from_alias);
    if (obj.body != null) pbf.writeBytesField(3, obj.body);
    if (obj.topic) pbf.writeStringField(16, obj.topic);
    if (obj.seq) pbf.writeVarintField(17, obj.seq);
}

export function readTopicIdentityMessage(pbf, end) {
    const obj = {type: 0, from_alias: 0, topic: "", identity: undefined, role: 0, body: undefined, hops: 0, seq: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.from_alias = pbf.readVarint();
        else if (field === 3) obj.topic = pbf.readString();
        else if (field === 4) obj.identity = pbf.readBytes();
        else if (field === 5) obj.role = pbf.readVarint();
        else if (field === 6) obj.body = pbf.readBytes();
        else if (field === 16) obj.hops = pbf.readVarint();
        else if (field === 17) obj.seq = pbf.readVarint();
    }
    return obj;
}
export function writeTopicIdentityMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.from_alias) pbf.writeVarintField(2, obj.from_alias);
    if (obj.topic) pbf.writeStringField(3, obj.topic);
    if (obj.identity != null) pbf.writeBytesField(4, obj.identity);
    if (obj.role) pbf.writeVarintField(5, obj.role);
    if (obj.body != null) pbf.writeBytesField(6, obj.body);
    if (obj.hops) pbf.writeVarintField(16, obj.hops);
    if (obj.seq) pbf.writeVarintField(17, obj.seq);
}

export function readTopicIdentityFwMessage(pbf, end) {
    const obj = {type: 0, from_alias: 0, identity: undefined, role: 0, body: undefined, topic: "", seq: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.from_alias = pbf.readVarint();
        else if (field === 3) obj.identity = pbf.readBytes();
        else if (field === 4) obj.role = pbf.readVarint();
        else if (field === 5) obj.body = pbf.readBytes();
        else if (field === 16) obj.topic = pbf.readString();
        else if (field === 17) obj.seq = pbf.readVarint();
    }
    return obj;
}
export function writeTopicIdentityFwMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.from_alias) pbf.writeVarintField(2, obj.from_alias);
    if (obj.identity != null) pbf.writeBytesField(3, obj.identity);
    if (obj.role) pbf.writeVarintField(4, obj.role);
    if (obj.body != null) pbf.writeBytesField(5, obj.body);
    if (obj.topic) pbf.writeStringField(16, obj.topic);
    if (obj.seq) pbf.writeVarintField(17, obj.seq);
}

export function readSubscribeMessage(pbf, end) {
    const obj = {type: 0, id: 0, entries: []};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.id = pbf.readVarint();
        else if (field === 3) obj.entries.push(readSubscriptionEntry(pbf, pbf.readVarint() + pbf.pos));
    }
    return obj;
}
export function writeSubscribeMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.id) pbf.writeVarintField(2, obj.id);
    if (obj.entries) for (const item of obj.entries) pbf.writeMessage(3, writeSubscriptionEntry, item);
}

export function readUnsubscribeMessage(pbf, end) {
    const obj = {type: 0, id: 0, entries: []};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.id = pbf.readVarint();
        else if (field === 3) obj.entries.push(readSubscriptionEntry(pbf, pbf.readVarint() + pbf.pos));
    }
    return obj;
}
export function writeUnsubscribeMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.id) pbf.writeVarintField(2, obj.id);
    if (obj.entries) for (const item of obj.entries) pbf.writeMessage(3, writeSubscriptionEntry, item);
}

export function readSubscriptionEntry(pbf, end) {
    const obj = {topic: "", options: undefined};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.topic = pbf.readString();
        else if (field === 2) obj.options = readSubscriptionOptions(pbf, pbf.readVarint() + pbf.pos);
    }
    return obj;
}
export function writeSubscriptionEntry(obj, pbf) {
    if (obj.topic) pbf.writeStringField(1, obj.topic);
    if (obj.options) pbf.writeMessage(2, writeSubscriptionOptions, obj.options);
}

export function readSubscriptionOptions(pbf, end) {
    pbf.pos = end;
    return {};
}
export function writeSubscriptionOptions(obj, pbf) {}

export function readAckMessage(pbf, end) {
    const obj = {type: 0, id: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.id = pbf.readVarint();
    }
    return obj;
}
export function writeAckMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.id) pbf.writeVarintField(2, obj.id);
}

export function readErrorMessage(pbf, end) {
    const obj = {type: 0, code: 0, id: 0, topic: "", text: "", retryable: false, retry_after_ms: 0, alias: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.code = pbf.readVarint();
        else if (field === 3) obj.id = pbf.readVarint();
        else if (field === 4) obj.topic = pbf.readString();
        else if (field === 5) obj.text = pbf.readString();
        else if (field === 6) obj.retryable = pbf.readBoolean();
        else if (field === 7) obj.retry_after_ms = pbf.readVarint();
        else if (field === 8) obj.alias = pbf.readVarint();
    }
    return obj;
}
export function writeErrorMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.code) pbf.writeVarintField(2, obj.code);
    if (obj.id) pbf.writeVarintField(3, obj.id);
    if (obj.topic) pbf.writeStringField(4, obj.topic);
    if (obj.text) pbf.writeStringField(5, obj.text);
    if (obj.retryable) pbf.writeBooleanField(6, obj.retryable);
    if (obj.retry_after_ms) pbf.writeVarintField(7, obj.retry_after_ms);
    if (obj.alias) pbf.writeVarintField(8, obj.alias);
}

export function readInterestMessage(pbf, end) {
    const obj = {type: 0, version: 0, add: [], remove: [], snapshot_begin: false, snapshot_end: false};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.version = pbf.readVarint();
        else if (field === 3) obj.add.push(pbf.readString());
        else if (field === 4) obj.remove.push(pbf.readString());
        else if (field === 5) obj.snapshot_begin = pbf.readBoolean();
        else if (field === 6) obj.snapshot_end = pbf.readBoolean();
    }
    return obj;
}
export function writeInterestMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.version) pbf.writeVarintField(2, obj.version);
    if (obj.add) for (const item of obj.add) pbf.writeStringField(3, item);
    if (obj.remove) for (const item of obj.remove) pbf.writeStringField(4, item);
    if (obj.snapshot_begin) pbf.writeBooleanField(5, obj.snapshot_begin);
    if (obj.snapshot_end) pbf.writeBooleanField(6, obj.snapshot_end);
}

export function readMigrateMessage(pbf, end) {
    const obj = {type: 0, within_ms: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.within_ms = pbf.readVarint();
    }
    return obj;
}
export function writeMigrateMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.within_ms) pbf.writeVarintField(2, obj.within_ms);
}

export function readRenamedMessage(pbf, end) {
    const obj = {type: 0, alias: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.alias = pbf.readVarint();
    }
    return obj;
}
export function writeRenamedMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.alias) pbf.writeVarintField(2, obj.alias);
}

export function readRefreshMessage(pbf, end) {
    const obj = {type: 0, within_ms: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.within_ms = pbf.readVarint();
    }
    return obj;
}
export function writeRefreshMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.within_ms) pbf.writeVarintField(2, obj.within_ms);
}

export function readRevokedMessage(pbf, end) {
    const obj = {type: 0, entries: []};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.type = pbf.readVarint();
        else if (field === 2) obj.entries.push(readRevokedEntry(pbf, pbf.readVarint() + pbf.pos));
    }
    return obj;
}
export function writeRevokedMessage(obj, pbf) {
    if (obj.type) pbf.writeVarintField(1, obj.type);
    if (obj.entries) for (const item of obj.entries) pbf.writeMessage(2, writeRevokedEntry, item);
}

export function readRevokedEntry(pbf, end) {
    const obj = {identity: undefined, token_id: "", alias: 0, for_s: 0};
    let field;
    while ((field = pbf.nextField(end))) {
        if (field === 1) obj.identity = pbf.readBytes();
        else if (field === 2) obj.token_id = pbf.readString();
        else if (field === 3) obj.alias = pbf.readVarint();
        else if (field === 4) obj.for_s = pbf.readVarint();
    }
    return obj;
}
export function writeRevokedEntry(obj, pbf) {
    if (obj.identity != null) pbf.writeBytesField(1, obj.identity);
    if (obj.token_id) pbf.writeStringField(2, obj.token_id);
    if (obj.alias) pbf.writeVarintField(3, obj.alias);
    if (obj.for_s) pbf.writeVarintField(4, obj.for_s);
}
