/** What to say about the connection as it changes. Pure. */
import type { Status } from "../src/index.js";
import { shortAlias } from "./palette.js";

/** A note: in few words beside the server's name, and as a sentence for the log. */
export interface Note {
  readonly brief: string;
  readonly line: string;
}

/** Follows the status, and tells what is worth telling. */
export class Story {
  private state: Status["state"] = "connecting";
  private server = 0;
  private replaced = false;
  private moving = false;

  /** `alias`: the one that this tab had before a reload, or 0. */
  constructor(private alias: number) {}

  /** The note on this change, if it is worth one. */
  next(status: Status): Note | undefined {
    const { state, error, failures } = status;
    const before = this.state;
    this.state = state;
    if (state === "connected") return before === state ? undefined : this.arrived(before, status);
    this.replaced ||= error?.reason === "Replaced";
    if (state !== "reconnecting" || before === state) return undefined;
    this.moving = error?.reason === "ShuttingDown" && failures === 0;
    return this.moving || this.replaced ? undefined : lost(error?.message);
  }

  private arrived(before: Status["state"], { alias, server }: Status): Note {
    const note = this.arrival(before, alias, shortAlias(server));
    this.alias = alias;
    this.server = server;
    this.replaced = false;
    this.moving = false;
    return note;
  }

  private arrival(before: Status["state"], alias: number, server: number): Note {
    if (this.replaced) {
      const line = `Another tab goes on as you. You are somebody new, on server ${server}.`;
      return { brief: "another tab has your place", line };
    }
    if (this.moving) {
      const brief = `moved from server ${shortAlias(this.server)}`;
      return { brief, line: `Moved to server ${server}.` };
    }
    if (before === "reconnecting")
      return { brief: "reconnected", line: `Back, on server ${server}.` };
    if (alias === this.alias) {
      return { brief: "welcome back", line: `You are here again, on server ${server}.` };
    }
    return { brief: "", line: `You are here, on server ${server}.` };
  }
}

const lost = (why = "no reason given"): Note => ({ brief: "", line: `Connection lost: ${why}.` });
