/**
 * Who is in the plaza and where. Positions come about twenty times a second, some never; what is
 * shown runs a tenth of a second behind, in between the last ones. Pure: the time is handed in.
 */
import type { Position } from "./payload.js";

/** One participant as shown. */
export interface Shown {
  readonly alias: number;
  readonly name: string;
  readonly hue: number;
  readonly server: number;
  readonly x: number;
  readonly y: number;
  /** 1 when present, falling to 0 on the way out, rising on the way in. */
  readonly presence: number;
  /** The last thing said, while it is shown. */
  readonly speech: string;
}

interface Sample {
  readonly at: number;
  readonly x: number;
  readonly y: number;
}

interface Person {
  latest: Position;
  seq: number;
  samples: Sample[];
  arrivedAt: number;
  heardAt: number;
  speech: string;
  speechUntil: number;
}

/** The others. */
export class People {
  private readonly people = new Map<number, Person>();

  /**
   * A position came from `alias`. Late ones, which the unreliable lane may bring, are dropped; one
   * that is far behind is of a page that was reloaded, and counts anew.
   */
  moved(now: number, alias: number, seq: number, position: Position): void {
    let person = this.people.get(alias);
    if (!person) {
      if (this.people.size >= PEOPLE_MAX) return;
      person = newPerson(now, position);
      this.people.set(alias, person);
    } else if (seq !== 0 && seq <= person.seq && seq > person.seq - LATE_MAX) {
      return;
    }
    person.seq = seq;
    person.latest = position;
    person.heardAt = now;
    const last = person.samples.at(-1);
    // It stood still for a while: it starts walking now, not when it was last heard.
    if (last && now - last.at > STILL_MS) {
      person.samples.push({ at: now - STEP_MS, x: last.x, y: last.y });
    }
    person.samples.push({ at: now, x: position.x, y: position.y });
    if (person.samples.length > SAMPLES_MAX)
      person.samples.splice(0, person.samples.length - SAMPLES_MAX);
  }

  /** Somebody said something. */
  said(now: number, alias: number, text: string): void {
    const person = this.people.get(alias);
    if (!person) return;
    person.speech = text;
    person.speechUntil = now + SPEECH_MS;
  }

  /** The colour of somebody, if it is known. */
  hueOf(alias: number): number | undefined {
    return this.people.get(alias)?.latest.hue;
  }

  /** How many are here. */
  count(now: number): number {
    let count = 0;
    for (const person of this.people.values()) if (now - person.heardAt < GONE_MS) count += 1;
    return count;
  }

  /** How many are here on each server, 0 standing for those who do not say. */
  servers(now: number): Map<number, number> {
    const servers = new Map<number, number>();
    for (const { heardAt, latest } of this.people.values()) {
      if (now - heardAt < GONE_MS)
        servers.set(latest.server, (servers.get(latest.server) ?? 0) + 1);
    }
    return servers;
  }

  /** Everybody as they are to be shown now. Those who have left are forgotten. */
  shown(now: number): Shown[] {
    const shown: Shown[] = [];
    for (const [alias, person] of this.people) {
      const silent = now - person.heardAt;
      if (silent > GONE_MS + FADE_MS) {
        this.people.delete(alias);
        continue;
      }
      const { x, y } = between(person.samples, now - DELAY_MS);
      const coming = Math.min(1, (now - person.arrivedAt) / FADE_MS);
      const going = silent < GONE_MS ? 1 : 1 - (silent - GONE_MS) / FADE_MS;
      const { name, hue, server } = person.latest;
      const speech = person.speechUntil > now ? person.speech : "";
      shown.push({ alias, name, hue, server, x, y, presence: Math.min(coming, going), speech });
    }
    return shown;
  }
}

function newPerson(now: number, latest: Position): Person {
  return { latest, seq: 0, samples: [], arrivedAt: now, heardAt: now, speech: "", speechUntil: 0 };
}

/** The place at `at`, in a straight line between the samples around it. */
function between(samples: readonly Sample[], at: number): { x: number; y: number } {
  for (let index = samples.length - 1; index > 0; index -= 1) {
    const [from, to] = [samples[index - 1], samples[index]];
    if (!from || !to || from.at > at) continue;
    const part = to.at > from.at ? Math.min(1, (at - from.at) / (to.at - from.at)) : 1;
    return { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part };
  }
  return samples[0] ?? { x: 0.5, y: 0.5 };
}

/** Shown at a time. */
export const PEOPLE_MAX = 500;
const SAMPLES_MAX = 12;
/** No position comes later than so many: more than a second of walking. */
const LATE_MAX = 32;
/** How far behind the others are shown: two of their steps, so that one may be lost. */
const DELAY_MS = 100;
const STEP_MS = 50;
const STILL_MS = 150;
/** Positions come every second at least; three missing are a farewell. */
const GONE_MS = 3_500;
const FADE_MS = 400;
const SPEECH_MS = 6_000;
