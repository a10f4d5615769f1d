/** What the page says about the connection: the banner, and the meters in the corner. */
import type { Status } from "../src/index.js";
import { element } from "./dom.js";
import { serverHue, shortAlias } from "./palette.js";

/** What the meters show, once a second. */
export interface Readings {
  readonly rttMs: number | undefined;
  readonly packetsIn: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  /** How many people on each server, 0 standing for those who do not say. */
  readonly servers: ReadonlyMap<number, number>;
}

/** The banner and the meters. */
export class Panel {
  private readonly banner = element("banner", HTMLElement);
  private readonly bannerText = element("banner-text", HTMLElement);
  private readonly bannerWhy = element("banner-why", HTMLElement);
  private readonly server = element("server", HTMLElement);
  private readonly aside = element("aside", HTMLElement);
  private readonly rtts: number[] = [];

  /** Shows where the client stands. */
  show(status: Status): void {
    const { state, error } = status;
    document.documentElement.dataset.state = state;
    const [text, why] = headline(status);
    // Only what changes is announced to those who listen instead of looking.
    if (this.bannerText.textContent !== text) this.bannerText.textContent = text;
    this.bannerWhy.textContent = why;
    const moving = state === "reconnecting" && status.failures === 0;
    this.banner.dataset.kind = state === "connected" ? "calm" : moving ? "moving" : state;
    this.banner.hidden = text === "";
    element("again", HTMLButtonElement).hidden = state !== "closed";
    if (state === "connected") {
      this.server.textContent = `Server ${shortAlias(status.server)}`;
      this.server.style.setProperty("--hue", String(serverHue(status.server)));
      this.server.title = `alias ${status.server}; you are ${status.alias}`;
    } else {
      this.server.textContent = error && state === "closed" ? "Disconnected" : "No server";
      this.server.removeAttribute("title");
    }
    if (state !== "connected") this.rtts.length = 0;
  }

  /** Says something in few words, for a moment. */
  note(text: string): void {
    this.aside.textContent = text;
    // Taken away and put back, the class starts the animation anew.
    this.aside.classList.remove("fresh");
    void this.aside.offsetWidth;
    this.aside.classList.add("fresh");
  }

  /** Shows the figures of the last second. */
  read(readings: Readings): void {
    const { rttMs, packetsIn, bytesIn, packetsOut, bytesOut } = readings;
    set("rtt", rttMs === undefined ? "–" : `${rttMs.toFixed(rttMs < 10 ? 1 : 0)} ms`);
    set("in", `${packetsIn}/s · ${bytes(bytesIn)}/s`);
    set("out", `${packetsOut}/s · ${bytes(bytesOut)}/s`);
    if (rttMs !== undefined) this.rtts.push(rttMs);
    if (this.rtts.length > RTTS_MAX) this.rtts.shift();
    element("rtt-line", SVGPolylineElement).setAttribute("points", this.line());
    this.census(readings.servers);
  }

  /** How many people there are, and a bar that says on which servers. */
  private census(servers: ReadonlyMap<number, number>): void {
    const people = [...servers.values()].reduce((sum, count) => sum + count, 0);
    const named = [...servers].filter(([server]) => server !== 0).sort(([a], [b]) => a - b);
    const on = named.length === 1 ? "on one server" : `on ${named.length} servers`;
    const persons = people === 1 ? "1 person" : `${people} people`;
    set("people", named.length > 0 ? `${persons} ${on}` : persons);
    const bar = element("census", HTMLElement);
    while (bar.childElementCount > named.length) bar.lastElementChild?.remove();
    while (bar.childElementCount < named.length) bar.append(document.createElement("i"));
    for (const [index, [server, count]] of named.entries()) {
      const part = bar.children[index];
      if (!(part instanceof HTMLElement)) continue;
      part.style.setProperty("--hue", String(serverHue(server)));
      part.style.setProperty("flex-grow", String(count));
      part.title = `${count} on server ${shortAlias(server)}`;
      const label = count / people > 0.12 ? String(shortAlias(server)) : "";
      if (part.textContent !== label) part.textContent = label;
    }
  }

  private line(): string {
    const top = Math.max(2, ...this.rtts) * 1.15;
    const place = (rtt: number, index: number) =>
      `${((index + RTTS_MAX - this.rtts.length) / (RTTS_MAX - 1)) * 100},${24 - (rtt / top) * 22}`;
    return this.rtts.map(place).join(" ");
  }
}

/** What the banner says, and why. Nothing when all is well. */
function headline({ state, step, signalling, failures, error }: Status): [string, string] {
  const why = error && failures > 0 ? error.message : "";
  if (state === "reconnecting" && failures === 0) return ["Moving to another server…", ""];
  if (state === "closed") return ["Disconnected", error?.message ?? ""];
  if (state === "connected") {
    return signalling ? ["", ""] : ["The coordinator is away", "you stay connected without it"];
  }
  if (step === "wait") return ["Waiting for a server", "none is running just now"];
  const trial = failures > 1 ? `, attempt ${failures + 1}` : "";
  return state === "reconnecting"
    ? [`Connection lost. Reconnecting${trial}…`, why]
    : [`Entering the plaza${trial}…`, why];
}

function set(id: string, text: string): void {
  element(id, HTMLElement).textContent = text;
}

function bytes(count: number): string {
  return count < 1000 ? `${count} B` : `${(count / 1000).toFixed(count < 10_000 ? 1 : 0)} kB`;
}

const RTTS_MAX = 40;
