/** Browser client of the WebRTC message broker. See web/README.md. */
export type * from "./api.js";
export { Client, connect } from "./client.js";
export { REASONS } from "./generated/reasons.js";
export { BrokerError, type LocalReason, type ReasonName } from "./reasons.js";
export type * from "./transport.js";
