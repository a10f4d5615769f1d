// Generated from proto/src/limits.rs and lib.rs by `npm run generate`; do not edit.
export const PACKET_BYTES_MAX = 16 * 1024;
export const PACKET_BYTES_MAX_2019 = 5_120;
export const PLAIN_TOPIC_LIST_BYTES_MAX = 5_000;
export const TOPIC_BYTES_MAX = 256;
export const SUBSCRIPTIONS_MAX = 1024;
export const SUBPROTOCOL = "webrtc-broker.1";
export const TOKEN_SUBPROTOCOL_PREFIX = "token.";
export const RESUME_SUBPROTOCOL_PREFIX = "resume.";
export const CLOSE_CODE_BASE = 4000;
