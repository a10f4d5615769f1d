/**
 * The way to the coordinator: dialled for ever, with the list of servers that it offered. Pure; a
 * part of session.ts.
 */
import { Backoff } from "./backoff.js";
import { type ServerEntry, ServerState } from "./generated/codec.js";
import { isHeaderToken, Role } from "./wire.js";

type State =
  | { readonly is: "down"; readonly redialAt: number }
  /** The application is asked for a token. */
  | { readonly is: "asking"; readonly deadline: number }
  | { readonly is: "dialling"; readonly deadline: number }
  | { readonly is: "up"; readonly since: number; readonly ours: boolean };

/** State of the session at the coordinator. */
export class Signalling {
  /** The alias that the last WELCOME gave. */
  alias = 0;
  /** Waits between tries, of whatever kind. */
  readonly backoff: Backoff;
  private resume: string | undefined;
  private state: State = { is: "down", redialAt: 0 };
  /** Servers not tried yet, in order. */
  private servers: number[] = [];
  /** The last one that failed, or asked us to go: it is tried last. */
  private failed = 0;
  private noneOffered = false;
  /** The shortest wait that one of those tried asked for. */
  private comeBackAfter = Number.POSITIVE_INFINITY;
  private version = 0;

  /** `close` closes the WebSocket. */
  constructor(
    private readonly close: () => void,
    private readonly random: () => number,
  ) {
    this.backoff = new Backoff(random);
  }

  get isUp(): boolean {
    return this.state.is === "up";
  }

  /** WELCOME is to be expected, without anybody's doing. */
  get isDialling(): boolean {
    return this.state.is === "asking" || this.state.is === "dialling";
  }

  /** A token is waited for. */
  get isAsking(): boolean {
    return this.state.is === "asking";
  }

  /** The coordinator offered no server, and will tell when there is one. */
  get waitsForServers(): boolean {
    return this.state.is === "up" && this.state.ours && this.noneOffered;
  }

  /** Shown at each dial, it keeps the alias: from the last WELCOME, while nobody else has it. */
  get resumeToken(): string | undefined {
    return this.resume;
  }

  get deadline(): number {
    switch (this.state.is) {
      case "down":
        return this.state.redialAt;
      case "up":
        return Number.POSITIVE_INFINITY;
      default:
        return this.state.deadline;
    }
  }

  /** Whether it is time to dial. */
  isDue(now: number): boolean {
    return this.state.is === "down" && this.state.redialAt <= now;
  }

  /** The application is asked for a token, for the dial. */
  asking(now: number): void {
    this.state = { is: "asking", deadline: now + TOKEN_TIMEOUT_MS };
  }

  /** A WebSocket is on its way. */
  dialling(now: number): void {
    this.state = { is: "dialling", deadline: now + WELCOME_TIMEOUT_MS };
  }

  /** What did not come in time, if anything. */
  overdue(now: number): "token" | "WELCOME" | undefined {
    const { state } = this;
    if (state.is === "asking" && state.deadline <= now) return "token";
    return state.is === "dialling" && state.deadline <= now ? "WELCOME" : undefined;
  }

  /** The socket closed, or did not open: it is dialled again after a wait on top of `least`. */
  lost(now: number, least: number): void {
    if (this.state.is === "up") this.backoff.forgive(now, this.state.since);
    this.state = { is: "down", redialAt: now };
    this.retry(now, least);
  }

  /** Leaves, and comes back after a wait on top of `least`: servers named then are alive then. */
  retry(now: number, least: number): void {
    this.leave(now + least + this.backoff.next());
  }

  /** None of the servers took us: comes back when one of them may. */
  retryServers(now: number): void {
    this.retry(now, Number.isFinite(this.comeBackAfter) ? this.comeBackAfter : 0);
  }

  /** Leaves, and comes back at once. */
  redial(now: number): void {
    this.leave(now);
  }

  /** Says goodbye, and does not dial until {@link nudge}. */
  hangUp(): void {
    this.leave(Number.POSITIVE_INFINITY);
  }

  /** Does not wait any longer. */
  nudge(now: number): void {
    this.backoff.reset();
    if (this.state.is === "down") this.state = { is: "down", redialAt: now };
  }

  /** WELCOME. `ours`: the coordinator sends SERVERS. */
  welcome(now: number, alias: number, servers: readonly number[], ours: boolean): void {
    this.state = { is: "up", since: now, ours };
    this.alias = alias;
    this.offer(servers);
    this.version = 0;
  }

  /** Keeps the token that is shown at the next dial, if there is one. False if it cannot be. */
  keepResumeToken(token: string): boolean {
    const fits = token.length <= RESUME_TOKEN_LENGTH_MAX && isHeaderToken(token);
    this.resume = fits ? token : undefined;
    return fits || token === "";
  }

  /** Somebody else has shown the token. */
  forgetResumeToken(): void {
    this.resume = undefined;
  }

  /**
   * Whether the end of a session under this alias is the end of this one: it is welcomed under
   * that alias, and for so long that the news is not about the session before.
   */
  isSessionOf(alias: number, now: number): boolean {
    const { state } = this;
    return state.is === "up" && this.alias === alias && now - state.since >= NEWS_AGE_MAX_MS;
  }

  /**
   * SERVERS: replaces the list, in an order of our own, so that all who wait do not go to one. Who
   * is on a server, `current`, has no use for a list that names no other.
   */
  serversChanged(version: number, entries: readonly ServerEntry[], current?: number): void {
    if (version < this.version) return;
    this.version = version;
    const live = entries.filter(
      ({ role, state }) => role === Role.COMMUNICATION_SERVER && state === ServerState.LIVE,
    );
    if (current !== undefined && live.every(({ alias }) => alias === current)) return;
    const order = live.map(({ alias }) => ({ alias, at: this.random() }));
    this.offer(order.sort((a, b) => a.at - b.at).map(({ alias }) => alias));
  }

  /** Whether there is another server to try than this one. */
  offersOtherThan(alias: number): boolean {
    return this.servers.some((server) => server !== alias);
  }

  /** The next server to try. */
  takeServer(): number | undefined {
    return this.servers.shift();
  }

  /** One that is full asks us to wait so long, should no other take us. */
  noteWait(ms: number): void {
    if (ms > 0) this.comeBackAfter = Math.min(this.comeBackAfter, ms);
  }

  /** This one again only if there is no other. */
  avoid(alias: number): void {
    this.failed = alias;
    this.servers = this.servers.filter((server) => server !== alias);
  }

  /** The list is not to be trusted any more. */
  forgetServers(): void {
    this.servers = [];
    this.noneOffered = false;
    this.comeBackAfter = Number.POSITIVE_INFINITY;
  }

  private leave(redialAt: number): void {
    if (this.state.is !== "down") this.close();
    this.state = { is: "down", redialAt };
    this.forgetServers();
  }

  private offer(servers: readonly number[]): void {
    const others = servers.filter((server) => server !== this.failed);
    const failed = servers.includes(this.failed) ? [this.failed] : [];
    this.servers = [...others, ...failed].slice(0, SERVERS_MAX);
    this.noneOffered = servers.length === 0;
    this.comeBackAfter = Number.POSITIVE_INFINITY;
  }
}

/** Of a list, however long. */
const SERVERS_MAX = 4;
/** From asking for a token to having it. */
const TOKEN_TIMEOUT_MS = 10_000;
/** From dialling to WELCOME. */
const WELCOME_TIMEOUT_MS = 10_000;
/** A longer one is none: servers limit the headers that they read. */
const RESUME_TOKEN_LENGTH_MAX = 4_096;
/** How long the news of a session's end may take from the coordinator by way of the server. */
const NEWS_AGE_MAX_MS = 5_000;
