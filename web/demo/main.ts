/** The plaza: a client, a canvas, a chat. Parameters: ?name= ?token= ?url= ?region= */
import { type Client, connect, type Message, type Status } from "../src/index.js";
import { Chat } from "./chat.js";
import { element } from "./dom.js";
import { type Figure, Painter } from "./paint.js";
import { randomName } from "./palette.js";
import { Panel } from "./panel.js";
import {
  CHAT_TOPIC,
  cleanName,
  encodeChat,
  encodePosition,
  NAME_LENGTH_MAX,
  POSITIONS_TOPIC,
  parseChat,
  parsePosition,
} from "./payload.js";
import { People } from "./people.js";
import { Story } from "./story.js";
import { Walker } from "./walker.js";

const parameters = new URLSearchParams(location.search);
const me = {
  name: cleanName(parameters.get("name") ?? remembered("name") ?? randomName(Math.random)),
  hue: Number(remembered("hue") ?? Math.floor(Math.random() * 36) * 10),
  speech: "",
  speechUntil: 0,
};
const people = new People();
const walker = new Walker(Math.random);
const stage = element("stage", HTMLCanvasElement);
const painter = new Painter(stage);
const panel = new Panel();
const story = new Story(Number(remembered("alias") ?? 0));
const chat = new Chat(say);
const client = open();

function open(): Client {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const url = parameters.get("url") ?? `${scheme}//${location.host}/connect`;
  const opened = connect({
    url,
    token: parameters.get("token") ?? "",
    region: parameters.get("region") ?? "",
    resume: remembered("resume") ?? "",
  });
  opened.on("state", (status) => stateChanged(status, opened.resumeToken));
  opened.on("message", received);
  opened.on("error", (error) => chat.note(error.message));
  for (const topic of [POSITIONS_TOPIC, CHAT_TOPIC]) {
    opened.subscribe(topic).catch((error) => {
      // The banner says why the client is closed.
      if (opened.status.state !== "closed") chat.note(`${topic}: ${error.message}`);
    });
  }
  return opened;
}

// --- what comes in ---

function stateChanged(status: Status, resumeToken: string | undefined): void {
  panel.show(status);
  // A reload comes back under the alias. In a duplicate of this tab, which has the same token, too:
  // then this one is somebody new, and so is its token.
  remember("resume", resumeToken ?? "");
  if (status.state === "connected") remember("alias", String(status.alias));
  const note = story.next(status);
  if (!note) return;
  chat.note(note.line);
  if (note.brief) panel.note(note.brief);
  if (status.state !== "connected") return;
  chat.delivered();
  publishPosition(true);
}

function received(message: Message): void {
  const now = performance.now();
  if (message.topic === POSITIONS_TOPIC) {
    const position = parsePosition(message.text());
    if (position) people.moved(now, message.from, message.seq, position);
  } else if (message.topic === CHAT_TOPIC) {
    const line = parseChat(message.text());
    if (!line) return;
    people.said(now, message.from, line.text);
    chat.add({ ...line, hue: people.hueOf(message.from) ?? 0 });
  }
}

// --- what goes out ---

let sent = { x: -1, y: -1, at: 0 };

/** About twenty times a second while moving, once a second while standing. */
function publishPosition(anyway = false): void {
  const now = performance.now();
  const { x, y } = walker;
  const moved = Math.hypot(x - sent.x, y - sent.y) > 0.0004;
  if (!anyway && !moved && now - sent.at < KEEP_ALIVE_MS) return;
  if (client.status.state !== "connected") return;
  const { server } = client.status;
  client.publish(POSITIONS_TOPIC, encodePosition({ name: me.name, hue: me.hue, x, y, server }), {
    lane: "unreliable",
  });
  sent = { x, y, at: now };
}

function say(text: string): void {
  const result = client.publish(CHAT_TOPIC, encodeChat({ name: me.name, text }));
  // Nobody hears an echo of what they say.
  const line = parseChat(encodeChat({ name: me.name, text }));
  if (!line) return;
  me.speech = line.text;
  me.speechUntil = performance.now() + 6_000;
  chat.add({ ...line, hue: me.hue, own: true, waiting: result === "queued" });
}

// --- the page ---

function frame(now: number): void {
  walker.walk(now);
  const { status } = client;
  const figures: Figure[] = people.shown(now);
  const speech = me.speechUntil > now ? me.speech : "";
  const { x, y } = walker;
  const { name, hue } = me;
  const server = status.state === "connected" ? status.server : 0;
  figures.push({ alias: 0, name, hue, server, x, y, presence: 1, speech, self: true });
  painter.paint(figures);
  requestAnimationFrame(frame);
}

let counted = client.stats();

/** The meters: what happened in the last second. */
function readMeters(): void {
  const stats = client.stats();
  const sum = (side: "sent" | "received", unit: "packets" | "bytes") =>
    stats[side].reliable[unit] +
    stats[side].unreliable[unit] -
    counted[side].reliable[unit] -
    counted[side].unreliable[unit];
  const servers = people.servers(performance.now());
  const { state, server } = client.status;
  const own = state === "connected" ? server : 0;
  servers.set(own, (servers.get(own) ?? 0) + 1);
  panel.read({
    rttMs: stats.rttMs,
    packetsIn: sum("received", "packets"),
    bytesIn: sum("received", "bytes"),
    packetsOut: sum("sent", "packets"),
    bytesOut: sum("sent", "bytes"),
    servers,
  });
  counted = stats;
}

function setUpMe(): void {
  const name = element("name", HTMLInputElement);
  name.maxLength = NAME_LENGTH_MAX;
  name.value = me.name;
  name.addEventListener("change", () => {
    me.name = cleanName(name.value);
    name.value = me.name;
    remember("name", me.name);
    publishPosition(true);
  });
  element("me", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    name.blur();
  });
  const hue = element("hue", HTMLInputElement);
  const showHue = () => document.documentElement.style.setProperty("--me", String(me.hue));
  hue.value = String(me.hue);
  hue.addEventListener("input", () => {
    me.hue = Number(hue.value);
    showHue();
    remember("hue", hue.value);
    publishPosition(true);
  });
  showHue();
}

function setUpScene(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const toggle = element("scene", HTMLButtonElement);
  const show = () => {
    const chosen = remembered("scene");
    const night = chosen ? chosen === "night" : dark.matches;
    document.documentElement.dataset.scene = night ? "night" : "day";
    toggle.textContent = night ? "Make it day" : "Make it night";
    painter.setNight(night);
  };
  toggle.addEventListener("click", () => {
    remember("scene", document.documentElement.dataset.scene === "night" ? "day" : "night");
    show();
  });
  dark.addEventListener("change", show);
  show();
}

/** Kept for this tab: two tabs are two people. */
function remembered(key: string): string | null {
  try {
    return sessionStorage.getItem(`plaza.${key}`);
  } catch {
    return null;
  }
}

function remember(key: string, value: string): void {
  try {
    sessionStorage.setItem(`plaza.${key}`, value);
  } catch {
    // Without storage it is forgotten with the page.
  }
}

const STEP_MS = 50;
const KEEP_ALIVE_MS = 1_000;

setUpMe();
setUpScene();
walker.follow(stage);
element("again", HTMLButtonElement).addEventListener("click", () => location.reload());
new ResizeObserver(() => painter.resize()).observe(stage);
panel.show(client.status);
setInterval(publishPosition, STEP_MS);
setInterval(readMeters, 1_000);
requestAnimationFrame(frame);
