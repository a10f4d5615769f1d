import assert from "node:assert/strict";
import { test } from "node:test";
import {
  encodeChat,
  encodePosition,
  NAME_LENGTH_MAX,
  parseChat,
  parsePosition,
  TEXT_LENGTH_MAX,
} from "../demo/payload.js";
import { People, PEOPLE_MAX } from "../demo/people.js";
import { Story } from "../demo/story.js";
import type { Status } from "../src/api.js";
import { named, type ReasonName } from "../src/reasons.js";

const at = (x: number, y = 0.5, name = "Ann") => ({ name, hue: 0, x, y, server: 64 });

test("a position comes back as it went, to four digits", () => {
  const position = { name: "Ann", hue: 210, x: 0.123456, y: 1, server: 7516192768 };
  const payload = encodePosition(position);
  assert.equal(payload, '{"n":"Ann","c":210,"x":0.1235,"y":1,"s":7516192768}');
  assert.deepEqual(parsePosition(payload), { ...position, x: 0.1235 });
});

test("positions of strangers are checked and cut to size", () => {
  assert.deepEqual(parsePosition('{"x":-4,"y":9}'), {
    name: "somebody",
    hue: 0,
    x: 0,
    y: 1,
    server: 0,
  });
  assert.equal(parsePosition('{"n":"A","c":-30,"x":0,"y":0,"s":"1"}')?.hue, 330);
  const nonsense = ["", "null", "[]", "7", "{", '{"x":"0","y":0}', '{"x":1e999,"y":0}'];
  for (const payload of nonsense) assert.equal(parsePosition(payload), undefined, payload);
  const long = parsePosition(JSON.stringify({ n: "😀".repeat(99), x: 0, y: 0 }));
  assert.equal([...(long?.name ?? "")].length, NAME_LENGTH_MAX);
});

test("chat keeps to one line without direction tricks", () => {
  assert.deepEqual(parseChat(encodeChat({ name: "Ann", text: "hi" })), { name: "Ann", text: "hi" });
  const line = parseChat(JSON.stringify({ n: "\u202eeve", t: " a\n\tb\u0007\u200bc " }));
  assert.deepEqual(line, { name: "eve", text: "a b c" });
  assert.equal(parseChat('{"n":"Ann","t":" \\n "}'), undefined);
  assert.equal(parseChat('{"n":"Ann"}'), undefined);
  const long = parseChat(encodeChat({ name: "Ann", text: "x".repeat(999) }));
  assert.equal(long?.text.length, TEXT_LENGTH_MAX);
});

test("people walk between their positions, a tenth of a second behind", () => {
  const people = new People();
  people.moved(1_000, 1, 1, at(0));
  people.moved(1_050, 1, 2, at(0.1));
  people.moved(1_100, 1, 3, at(0.2));
  const x = (now: number) => people.shown(now)[0]?.x.toFixed(3);
  assert.deepEqual(
    [x(1_100), x(1_125), x(1_150), x(1_200), x(1_400)],
    ["0.000", "0.050", "0.100", "0.200", "0.200"],
  );
});

test("somebody who stood starts walking when the step comes, not when last heard", () => {
  const people = new People();
  people.moved(1_000, 1, 1, at(0));
  people.moved(2_000, 1, 2, at(0.1));
  assert.equal(people.shown(2_040)[0]?.x, 0);
  assert.equal(people.shown(2_100)[0]?.x, 0.1);
});

test("a late position is dropped, an uncounted one is not", () => {
  const people = new People();
  people.moved(1_000, 1, 5, at(0.5));
  people.moved(1_010, 1, 4, at(0.1));
  people.moved(1_020, 1, 5, at(0.1));
  assert.equal(people.shown(2_000)[0]?.x, 0.5);
  people.moved(1_030, 2, 0, at(0.5));
  people.moved(1_040, 2, 0, at(0.6));
  assert.equal(people.shown(2_000)[1]?.x, 0.6);
});

test("who reloads the page counts anew", () => {
  const people = new People();
  people.moved(1_000, 1, 40, at(0.5));
  people.moved(1_010, 1, 9, at(0.1));
  assert.equal(people.shown(2_000)[0]?.x, 0.5, "that is late");
  people.moved(1_020, 1, 8, at(0.2));
  people.moved(1_030, 1, 9, at(0.3));
  assert.equal(people.shown(2_000)[0]?.x, 0.3);
});

test("the story tells of arrivals, moves, losses and tabs that are two", () => {
  const status: Status = {
    state: "connecting",
    step: "none",
    signalling: true,
    alias: 64,
    server: 128,
    failures: 0,
    error: undefined,
  };
  const connected: Status = { ...status, state: "connected" };
  const away = (reason: ReasonName, failures: number): Status => ({
    ...status,
    state: "reconnecting",
    failures,
    error: named(reason),
  });
  const told = (before: number, ...all: Status[]) => {
    const story = new Story(before);
    return all.map((next) => story.next(next)?.brief ?? "-");
  };
  assert.deepEqual(told(0, status, connected, connected), ["-", "", "-"]);
  assert.deepEqual(told(64, connected), ["welcome back"]);
  const arrival: Status = { ...connected, server: 192 };
  assert.deepEqual(
    told(0, connected, away("ShuttingDown", 0), away("PeerUnavailable", 1), arrival),
    ["", "-", "-", "moved from server 2"],
  );
  assert.deepEqual(told(0, connected, away("ShuttingDown", 1), arrival), ["", "", "reconnected"]);
  const twin = "another tab has your place";
  assert.deepEqual(told(0, connected, away("Replaced", 1), connected), ["", "-", twin]);
  assert.deepEqual(told(0, connected, away("IdleTimeout", 1), away("Replaced", 2), connected), [
    "",
    "",
    "-",
    twin,
  ]);
});

test("whoever is silent fades and is forgotten", () => {
  const people = new People();
  people.moved(1_000, 1, 1, at(0));
  assert.equal(people.shown(4_400)[0]?.presence, 1);
  assert.equal(people.count(4_400), 1);
  const fading = people.shown(4_700)[0]?.presence ?? 0;
  assert.ok(fading > 0 && fading < 1);
  assert.deepEqual([people.count(4_700), people.shown(4_901).length], [0, 0]);
});

test("speech is shown for a while, and of people who are there", () => {
  const people = new People();
  people.moved(1_000, 1, 1, at(0));
  people.said(1_000, 1, "hi");
  people.said(1_000, 2, "nobody");
  assert.deepEqual(
    [people.shown(2_000)[0]?.speech, people.hueOf(2), people.servers(2_000).get(64)],
    ["hi", undefined, 1],
  );
  people.moved(7_100, 1, 2, at(0));
  assert.equal(people.shown(7_200)[0]?.speech, "");
});

test("the plaza is full at its bound", () => {
  const people = new People();
  for (let alias = 1; alias <= PEOPLE_MAX + 1; alias += 1) people.moved(1_000, alias, 1, at(0));
  assert.equal(people.count(1_000), PEOPLE_MAX);
});
