/** One attempt to reach a communication server, and the peer that it becomes. Part of session.ts. */
import type { Lane } from "./api.js";
import type { Dialect } from "./subscriptions.js";

/** What the session knows about its peer. */
export class Peer {
  readonly lanes = new Set<Lane>();
  /** The offer came. */
  offered = false;
  /** Set when it is READY, or is taken for a server of 2019. */
  dialect: Dialect | undefined;
  /** Our alias as this server knows it: it survives a new session at the coordinator. */
  alias = 0;
  private readyBy: number;
  private old2019At = Number.POSITIVE_INFINITY;

  constructor(
    now: number,
    readonly id: number,
    readonly server: number,
  ) {
    this.readyBy = now + READY_TIMEOUT_MS;
  }

  get deadline(): number {
    return this.dialect ? Number.POSITIVE_INFINITY : Math.min(this.readyBy, this.old2019At);
  }

  /** AUTH went out. */
  authSent(now: number): void {
    this.old2019At = now + OLD_SERVER_AFTER_MS;
  }

  /** What to make of a peer that is not ready at `now`. */
  verdict(now: number): "waiting" | "abandoned" | "old" {
    if (this.dialect) return "waiting";
    if (this.old2019At <= now) return "old";
    return this.readyBy <= now ? "abandoned" : "waiting";
  }
}

/** An attempt that is not READY by then is given up for a fresh peer. */
export const READY_TIMEOUT_MS = 10_000;
/** Without READY so long after AUTH it is a server of 2019. */
export const OLD_SERVER_AFTER_MS = 2_000;
