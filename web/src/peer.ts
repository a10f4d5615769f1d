/** One attempt to reach a communication server, and the peer that it becomes. Part of session.ts. */
import type { Lane } from "./api.js";
import type { Dialect } from "./subscriptions.js";

/** What the session knows about its peer. */
export class Peer {
  readonly lanes = new Set<Lane>();
  private hasOffer = false;
  /** AUTH waits for a token. */
  awaitsToken = false;
  /** New credentials, for which the server has asked: waited for, or sent. */
  renewal: "none" | "token" | "sent" = "none";
  /** When to ask the application for them once more. */
  renewAt = Number.POSITIVE_INFINITY;
  /** Set when it is READY, or is taken for a server of 2019. */
  dialect: Dialect | undefined;
  /** When that was. */
  readyAt = 0;
  private isAuthSent = false;
  private readyBy: number;
  /** When to ask a server that stays silent whether it is one of 2019. */
  private probeAt = Number.POSITIVE_INFINITY;
  private probed = false;
  private moveAt = Number.POSITIVE_INFINITY;
  /** When we began to look for another server, on this one's wish. */
  private movingSince = Number.NEGATIVE_INFINITY;
  /** What the PING carries whose echo says that the server has everything, and how long it has. */
  private farewell: { readonly time: number; readonly by: number } | undefined;

  constructor(
    now: number,
    readonly id: number,
    readonly server: number,
    /** Ours as this server knows it: it survives a new session at the coordinator. */
    public alias: number,
  ) {
    this.readyBy = now + OFFER_TIMEOUT_MS;
  }

  /** The offer came. */
  get offered(): boolean {
    return this.hasOffer;
  }

  /** It comes. */
  offer(now: number): void {
    this.hasOffer = true;
    this.readyBy = now + READY_TIMEOUT_MS;
  }

  get deadline(): number {
    if (!this.dialect) return Math.min(this.readyBy, this.probeAt);
    return Math.min(this.moveAt, this.renewAt, this.farewell?.by ?? Number.POSITIVE_INFINITY);
  }

  /** AUTH went out. */
  authSent(now: number): void {
    this.isAuthSent = true;
    this.awaitsToken = false;
    this.probeAt = now + PROBE_AFTER_MS;
  }

  /** Without the coordinator it comes to nothing: the server does not have us yet. */
  get needsSignalling(): boolean {
    return !this.isAuthSent;
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

  /** READY, or as good as that. */
  ready(now: number, dialect: Dialect, alias: number): void {
    this.dialect = dialect;
    this.readyAt = now;
    // The server's word counts, if it says one.
    this.alias = alias || this.alias;
  }

  /** The application had no new token: the peer goes on as long as the old one does. */
  renewalMissed(now: number): void {
    this.renewal = "none";
    this.renewAt = now + RENEW_AGAIN_AFTER_MS;
  }

  /** Whether READY answers new credentials. */
  renewed(): boolean {
    const isAnswer = this.renewal === "sent";
    if (isAnswer) this.renewal = "none";
    return isAnswer;
  }

  /** The server asked us to go, and the moment has come: the first other server is ours. */
  get isMoving(): boolean {
    return this.movingSince > Number.NEGATIVE_INFINITY;
  }

  /** MIGRATE: we look for another server after `wait`. False when that was said just before. */
  migrate(now: number, wait: number): boolean {
    const isLate = now < this.movingSince + ASK_AGAIN_AFTER_MS;
    if (isLate || this.moveAt < Number.POSITIVE_INFINITY) return false;
    this.moveAt = now + wait;
    return true;
  }

  /** Whether the time to look for another server has just come. */
  startsMoving(now: number): boolean {
    if (this.moveAt > now) return false;
    this.moveAt = Number.POSITIVE_INFINITY;
    this.movingSince = now;
    return true;
  }

  /** Another server is found, and this one is asked whether it has everything. */
  get isLeaving(): boolean {
    return this.farewell !== undefined;
  }

  /** What the PING that asks is to carry: nothing that another PING does. */
  leave(now: number): number {
    const time = -now;
    this.farewell = { time, by: now + FAREWELL_TIMEOUT_MS };
    return time;
  }

  /** There is no other server after all. */
  stay(): void {
    this.farewell = undefined;
  }

  /** Whether this echo says that the server has everything. */
  isFarewell(time: number): boolean {
    return this.farewell?.time === time;
  }

  /** Whether it has been waited for that long enough. */
  isFarewellOver(now: number): boolean {
    return this.farewell !== undefined && this.farewell.by <= now;
  }
}

/** A server that has made no offer by then stands still, or cannot be told of us. */
const OFFER_TIMEOUT_MS = 4_000;
/** An attempt that is not READY so long after the offer is given up for a fresh peer. */
const READY_TIMEOUT_MS = 10_000;
/** Without READY so long after AUTH it may be a server of 2019: a PING asks. */
export const PROBE_AFTER_MS = 2_000;
/** A few times within the minute that a server usually gives. */
const RENEW_AGAIN_AFTER_MS = 5_000;
/** A server that asks us to go all the time shall not make us ask the coordinator all the time. */
const ASK_AGAIN_AFTER_MS = 5_000;
/** How long a server is waited for that is left: a round trip, and one retransmission. */
const FAREWELL_TIMEOUT_MS = 2_000;
