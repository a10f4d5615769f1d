/** Why something was refused, closed or answered with an error: the table of the whole project. */
import { CLOSE_CODE_BASE } from "./generated/limits.js";
import { REASONS } from "./generated/reasons.js";

/** What went wrong, as a numbered reason of the servers or one of this library's own. */
export class BrokerError extends Error {
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
  }) {
    super(init.topic ? `${init.text} (topic ${init.topic})` : init.text);
    this.name = "BrokerError";
    this.code = init.code ?? 0;
    this.reason = init.reason;
    this.retryable = init.retryable;
    this.topic = init.topic ?? "";
    this.retryAfterMs = init.retryAfterMs ?? 0;
  }
}

/** Reasons that are not on the wire. */
export type LocalReason = keyof typeof LOCAL;

/** The error for a reason of the table, by number. One that is not known may be tried again. */
export function numbered(code: number, topic = ""): BrokerError {
  const row = (REASONS as Readonly<Record<number, Row>>)[code];
  if (!row)
    return new BrokerError({
      code,
      reason: `Reason${code}`,
      text: `reason ${code}`,
      retryable: true,
    });
  return new BrokerError({
    code,
    reason: row.name,
    text: row.text,
    retryable: row.retryable,
    topic,
  });
}

/** The error for a reason of the table, by name. */
export function named(name: ReasonName, topic = ""): BrokerError {
  const entry = Object.entries(REASONS).find(([, row]) => row.name === name);
  return numbered(Number(entry?.[0]), topic);
}

/** The token function of the application did not give one, and why. */
export function tokenFailed(why: string): BrokerError {
  const { code, reason, retryable } = named("AuthUnavailable");
  return new BrokerError({ code, reason, retryable, text: `the token could not be had: ${why}` });
}

/** What an ERROR packet or signal says. */
export function fromErrorMessage(message: {
  code: number;
  topic: string;
  text: string;
  retryable: boolean;
  retry_after_ms: number;
}): BrokerError {
  const { code, topic, text, retryable } = message;
  const retryAfterMs = Math.min(message.retry_after_ms, RETRY_AFTER_MAX_MS);
  const known = numbered(code);
  return new BrokerError({
    code,
    reason: known.reason,
    text: text || known.message,
    retryable,
    topic,
    retryAfterMs,
  });
}

/** The reason in a WebSocket close code, if it is one of ours. */
export function fromCloseCode(code: number): BrokerError | undefined {
  const number = code - CLOSE_CODE_BASE;
  return number > 0 && number < 1000 ? numbered(number) : undefined;
}

/**
 * Why a server closed, when it could say so only with its goodbye. What is final is believed from an
 * ERROR alone, which the next attempt will bring.
 */
export function fromGoodbye(code: number | undefined): BrokerError {
  const row = (REASONS as Readonly<Record<number, Row>>)[code ?? 0];
  return row?.retryable && code ? numbered(code) : local("PeerLost");
}

/** An error of this library's own. */
export function local(reason: LocalReason, detail = ""): BrokerError {
  const { text, retryable } = LOCAL[reason];
  return new BrokerError({ reason, retryable, text: detail ? `${text}: ${detail}` : text });
}

/** A name in the table. */
export type ReasonName = (typeof REASONS)[keyof typeof REASONS]["name"];

interface Row {
  readonly name: string;
  readonly retryable: boolean;
  readonly text: string;
}

/** Nobody waits longer than that, whatever is asked of them. */
export const RETRY_AFTER_MAX_MS = 5 * 60_000;

/** Numbers from here on close nothing. */
export const FIRST_MERE_ERROR = 100;

const LOCAL = {
  QueueFull: { retryable: true, text: "the outgoing queue is full" },
  RequestTimeout: { retryable: true, text: "the server did not answer the request in time" },
  SignallingLost: { retryable: true, text: "the coordinator cannot be reached" },
  CannotDial: { retryable: false, text: "the browser does not dial this address" },
  NoServer: { retryable: true, text: "there is no communication server just now" },
  PeerLost: { retryable: true, text: "the communication server cannot be reached" },
  Suspended: { retryable: true, text: "the page is not shown" },
} as const;
