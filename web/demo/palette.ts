/** Colours and names: of servers, of participants, of day and night. */

/** The number that people see for a server: the end of the count in its alias. */
export function shortAlias(alias: number): number {
  return Math.floor(alias / 64) % 1_000;
}

/** The hue of a server: neighbours in number are far apart in colour. */
export function serverHue(alias: number): number {
  return SERVER_HUES[shortAlias(alias) % SERVER_HUES.length] ?? 0;
}

/** A hue and a name for somebody who brought none. */
export function randomName(random: () => number): string {
  const pick = (words: readonly string[]) => words[Math.floor(random() * words.length)] ?? "";
  return `${pick(FIRST)} ${pick(SECOND)}`;
}

const SERVER_HUES = [174, 12, 262, 46, 208, 330, 96, 28];

const FIRST =
  "Amber Brisk Calm Dapper Early Fond Gentle Hazel Ivory Jolly Keen Lucky Mellow Noble Olive Plucky Quiet Rosy Sunny Tidy".split(
    " ",
  );
const SECOND =
  "Badger Crane Dormouse Egret Finch Gecko Heron Ibis Jay Kestrel Lark Magpie Newt Otter Pigeon Quail Robin Sparrow Tern Wren".split(
    " ",
  );

/** What the ground and its people are painted with. */
export interface Scene {
  readonly night: boolean;
  /** The light that is everywhere, by night; the ground's colours are those in full light. */
  readonly ambience: string;
  readonly outside: string;
  readonly slab: string;
  readonly joint: string;
  /** A stone of the star, given a number in [0, 1). */
  readonly stone: (grain: number) => string;
  /** The smaller stone in it. */
  readonly inlay: (grain: number) => string;
  readonly steps: readonly string[];
  readonly label: string;
  readonly labelEdge: string;
  readonly bubble: string;
  readonly bubbleText: string;
}

export const NIGHT: Scene = {
  night: true,
  ambience: "hsl(228 26% 33%)",
  outside: "hsl(230 16% 29%)",
  slab: "hsl(230 14% 36%)",
  joint: "hsl(40 42% 80%)",
  stone: (grain) => `hsl(${226 + grain * 14} 10% ${44 + grain * 9}%)`,
  inlay: (grain) => `hsl(${222 + grain * 14} 9% ${58 + grain * 9}%)`,
  steps: ["hsl(232 10% 58%)", "hsl(232 11% 47%)", "hsl(232 12% 39%)"],
  label: "hsl(38 40% 92%)",
  labelEdge: "hsl(230 30% 7% / 0.85)",
  bubble: "hsl(40 45% 94%)",
  bubbleText: "hsl(230 25% 14%)",
};

export const DAY: Scene = {
  night: false,
  ambience: "white",
  outside: "hsl(37 32% 84%)",
  slab: "hsl(37 30% 81.5%)",
  joint: "hsl(44 60% 94%)",
  stone: (grain) => `hsl(${24 + grain * 14} ${14 + grain * 5}% ${68 + grain * 5}%)`,
  inlay: (grain) => `hsl(${26 + grain * 14} ${14 + grain * 5}% ${76 + grain * 4}%)`,
  steps: ["hsl(38 32% 91%)", "hsl(37 26% 79%)", "hsl(38 32% 88%)"],
  label: "hsl(25 30% 14%)",
  labelEdge: "hsl(44 60% 97% / 0.9)",
  bubble: "hsl(0 0% 100%)",
  bubbleText: "hsl(25 30% 14%)",
};
