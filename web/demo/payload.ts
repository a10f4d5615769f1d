/**
 * The bytes of the plaza, as web/README.md describes them. Everything that comes in is checked and
 * cut to size here: the rest of the page can trust what it gets.
 */

/** Where positions go: unreliable lane, JSON as UTF-8. */
export const POSITIONS_TOPIC = "plaza/positions";
/** Where chat goes: reliable lane, JSON as UTF-8. */
export const CHAT_TOPIC = "plaza/chat";

/** One participant's place. */
export interface Position {
  readonly name: string;
  /** Colour, as a hue in degrees. */
  readonly hue: number;
  /** From 0 (left) to 1 (right). */
  readonly x: number;
  /** From 0 (top) to 1 (bottom). */
  readonly y: number;
  /** Alias of the communication server that this participant is on; 0 if it does not say. */
  readonly server: number;
}

/** One line of chat. */
export interface ChatLine {
  readonly name: string;
  readonly text: string;
}

/** A position as it travels. */
export function encodePosition({ name, hue, x, y, server }: Position): string {
  const round = (value: number) => Math.round(value * 1e4) / 1e4;
  return JSON.stringify({ n: name, c: Math.round(hue), x: round(x), y: round(y), s: server });
}

/** The position that a payload says, or nothing. */
export function parsePosition(payload: string): Position | undefined {
  const value = parse(payload);
  if (!value) return undefined;
  const { c, x, y, s } = value;
  if (!isNumber(x) || !isNumber(y)) return undefined;
  return {
    name: cleanName(value.n),
    hue: isNumber(c) ? ((c % 360) + 360) % 360 : 0,
    x: Math.min(1, Math.max(0, x)),
    y: Math.min(1, Math.max(0, y)),
    server: isNumber(s) && s > 0 ? s : 0,
  };
}

/** A line of chat as it travels. */
export function encodeChat({ name, text }: ChatLine): string {
  return JSON.stringify({ n: name, t: text });
}

/** The line of chat that a payload says, or nothing. */
export function parseChat(payload: string): ChatLine | undefined {
  const value = parse(payload);
  const text = clean(value?.t, TEXT_LENGTH_MAX);
  return value && text ? { name: cleanName(value.n), text } : undefined;
}

/** A name fit to be shown. */
export function cleanName(name: unknown): string {
  return clean(name, NAME_LENGTH_MAX) || "somebody";
}

/** One line without control or direction-changing characters, cut to a length in code points. */
function clean(value: unknown, lengthMax: number): string {
  if (typeof value !== "string") return "";
  const line = value
    .slice(0, lengthMax * 4)
    .replace(UNSEEMLY, " ")
    .replace(/\s+/g, " ")
    .trim();
  return [...line].slice(0, lengthMax).join("");
}

function parse(payload: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(payload);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

const UNSEEMLY = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Longest name, in code points. */
export const NAME_LENGTH_MAX = 24;
/** Longest line of chat, in code points. */
export const TEXT_LENGTH_MAX = 280;
