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
  /** When to ask a server that stays silent whether it is one of 2019. */
  private probeAt = Number.POSITIVE_INFINITY;
  private probed = false;

  constructor(
    now: number,
    readonly id: number,
    readonly server: number,
  ) {
    this.readyBy = now + READY_TIMEOUT_MS;
  }

  get deadline(): number {
    return this.dialect ? Number.POSITIVE_INFINITY : Math.min(this.readyBy, this.probeAt);
  }

  /** AUTH went out. */
  authSent(now: number): void {
    this.probeAt = now + PROBE_AFTER_MS;
  }

  /** The PING that asks went out. */
  probeSent(): void {
    this.probeAt = Number.POSITIVE_INFINITY;
    this.probed = true;
  }

  /**
   * Whether an echo means a server of 2019: one of ours holds the PING until it has decided about
   * our AUTH, and says READY first.
   */
  get isOldIfItEchoes(): boolean {
    return this.probed && !this.dialect;
  }

  /** What to make of a peer that is not ready at `now`. */
  verdict(now: number): "waiting" | "abandoned" | "probe" {
    if (this.dialect) return "waiting";
    if (this.readyBy <= now) return "abandoned";
    return this.probeAt <= now ? "probe" : "waiting";
  }
}

/** An attempt that is not READY by then is given up for a fresh peer. */
export const READY_TIMEOUT_MS = 10_000;
/** Without READY so long after AUTH it may be a server of 2019: a PING asks. */
export const PROBE_AFTER_MS = 2_000;
