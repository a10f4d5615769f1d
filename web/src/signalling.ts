/**
 * The way to the coordinator: dialled for ever, with the list of servers that it offered. Pure; a
 * part of session.ts.
 */
import { Backoff } from "./backoff.js";
import { type ServerEntry, ServerState } from "./generated/codec.js";
import { Role } from "./wire.js";

type State =
  | { readonly is: "down"; readonly redialAt: number }
  | { readonly is: "dialling"; readonly deadline: number }
  | { readonly is: "up"; readonly since: number; readonly ours: boolean };

/** What must be done to the WebSocket. */
export type Socket = "dial" | "hangUp";

/** State of the session at the coordinator. */
export class Signalling {
  /** The alias that the last WELCOME gave. */
  alias = 0;
  private state: State = { is: "down", redialAt: 0 };
  /** Servers not tried yet, in order. */
  private servers: number[] = [];
  /** The last one that failed: it is tried last. */
  private failed = 0;
  private noneOffered = false;
  private version = 0;
  private readonly backoff: Backoff;

  constructor(
    private readonly act: (socket: Socket) => void,
    private readonly random: () => number,
  ) {
    this.backoff = new Backoff(random);
  }

  get isUp(): boolean {
    return this.state.is === "up";
  }

  get isDialling(): boolean {
    return this.state.is === "dialling";
  }

  /** The coordinator offered no server, and will tell when there is one. */
  get waitsForServers(): boolean {
    return this.state.is === "up" && this.state.ours && this.noneOffered;
  }

  get deadline(): number {
    if (this.state.is === "down") return this.state.redialAt;
    return this.state.is === "dialling" ? this.state.deadline : Number.POSITIVE_INFINITY;
  }

  /** Dials when it is time. */
  advance(now: number): void {
    if (this.state.is !== "down" || this.state.redialAt > now) return;
    this.state = { is: "dialling", deadline: now + WELCOME_TIMEOUT_MS };
    this.act("dial");
  }

  /** Whether WELCOME is overdue: the socket is then given up, as if it had closed. */
  expire(now: number): boolean {
    if (this.state.is !== "dialling" || this.state.deadline > now) return false;
    this.act("hangUp");
    return true;
  }

  /** The socket closed, or did not open. */
  closed(now: number, retryAfterMs: number): void {
    if (this.state.is === "down") return;
    // A coordinator that welcomes and closes at once is not a success.
    if (this.state.is === "up" && now - this.state.since >= STEADY_MS) this.backoff.reset();
    this.state = { is: "down", redialAt: now + Math.max(retryAfterMs, this.backoff.next()) };
  }

  /** WELCOME. `ours`: the coordinator sends SERVERS. */
  welcome(now: number, alias: number, servers: readonly number[], ours: boolean): void {
    this.state = { is: "up", since: now, ours };
    this.alias = alias;
    this.offer(servers);
    this.version = 0;
  }

  /** SERVERS: replaces the list, in an order of our own, so that all who wait do not go to one. */
  serversChanged(version: number, entries: readonly ServerEntry[]): void {
    if (version < this.version) return;
    this.version = version;
    const live = entries.filter(
      ({ role, state }) =>
        role === Role.COMMUNICATION_SERVER &&
        (state === ServerState.LIVE || state === ServerState.UNKNOWN_SERVER_STATE),
    );
    const order = live.map(({ alias }) => ({ alias, at: this.random() }));
    this.offer(order.sort((a, b) => a.at - b.at).map(({ alias }) => alias));
  }

  get hasServers(): boolean {
    return this.servers.length > 0;
  }

  /** The next server to try. */
  takeServer(): number | undefined {
    return this.servers.shift();
  }

  /** This one again only if there is no other. */
  serverFailed(alias: number): void {
    this.failed = alias;
    this.servers = this.servers.filter((server) => server !== alias);
  }

  /** The list is not to be trusted any more. */
  forgetServers(): void {
    this.servers = [];
    this.noneOffered = false;
  }

  /** Goes back to the coordinator for a fresh list, at once. */
  redial(now: number): void {
    if (this.state.is !== "down") this.act("hangUp");
    this.state = { is: "down", redialAt: now };
  }

  /** Says goodbye, and does not dial until {@link nudge}. */
  hangUp(): void {
    if (this.state.is !== "down") this.act("hangUp");
    this.state = { is: "down", redialAt: Number.POSITIVE_INFINITY };
  }

  /** Does not wait any longer. */
  nudge(now: number): void {
    if (this.state.is === "down") this.state = { is: "down", redialAt: now };
  }

  private offer(servers: readonly number[]): void {
    const others = servers.filter((server) => server !== this.failed);
    const failed = servers.includes(this.failed) ? [this.failed] : [];
    this.servers = [...others, ...failed].slice(0, SERVERS_MAX);
    this.noneOffered = servers.length === 0;
  }
}

/** Of a list, however long. */
const SERVERS_MAX = 4;
/** From dialling to WELCOME. */
const WELCOME_TIMEOUT_MS = 10_000;
/** A session that lasted so long starts its backoff anew. */
const STEADY_MS = 10_000;
