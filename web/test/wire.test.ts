import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { PbfReader, PbfWriter } from "pbf";
import * as codec from "../src/generated/codec.js";
import * as wire from "../src/wire.js";

interface Fixture {
  name: string;
  type: string;
  hex: string;
  fields: Record<string, unknown>;
}

const fixtures: Fixture[] = JSON.parse(readFileSync("../proto/fixtures/messages.json", "utf8"));
const functions = codec as unknown as Record<string, unknown>;
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

/** A decoded message in the form of the fixtures: defaults left out, u64 and bytes as strings. */
function plain(message: object): Record<string, unknown> {
  const shown = Object.entries(message).map(([key, value]) => [key, show(key, value)]);
  return Object.fromEntries(shown.filter(([, value]) => value !== undefined));
}

function show(key: string, value: unknown): unknown {
  if (value === 0 || value === "" || value === false || value === undefined) return undefined;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.length ? value.map((item) => shown(key, item)) : undefined;
  return shown(key, value);
}

function shown(key: string, value: unknown): unknown {
  if (typeof value === "number" && U64.has(key)) return String(value);
  return typeof value === "object" && value !== null ? plain(value) : value;
}

const U64 = new Set(
  "alias from_alias to_alias available_servers version server_time_ms seq instance for_s".split(
    " ",
  ),
);

for (const { name, type, hex, fields } of fixtures) {
  test(`fixture ${name} decodes and encodes to the same bytes`, () => {
    const read = functions[`read${type}`] as (reader: PbfReader, end?: number) => object;
    const write = functions[`write${type}`] as (message: object, writer: PbfWriter) => void;
    const message = wire.decode(read, bytes(hex));
    assert.deepEqual(plain(message), fields);
    assert.equal(Buffer.from(wire.encode(write, message)).toString("hex"), hex);
  });
}

test("fixtures cover every message of the schema", () => {
  const types = new Set(fixtures.map(({ type }) => type));
  const nested = ["ServerEntry", "SubscriptionEntry", "SubscriptionOptions", "RevokedEntry"];
  const all = Object.keys(functions).flatMap((key) => key.match(/^read(\w+)$/)?.[1] ?? []);
  assert.deepEqual(
    all.filter((type) => !types.has(type) && !nested.includes(type)),
    [],
  );
});

const fixture = (name: string) => {
  const found = fixtures.find((row) => row.name === name);
  assert.ok(found, name);
  return bytes(found.hex);
};

test("frames of a client are those of the fixtures", () => {
  const is = (frame: Uint8Array, name: string) => assert.deepEqual(frame, fixture(name));
  is(wire.authFrame(wire.utf8("token")), "auth");
  is(wire.requestFrame("subscribe", 7, ["a", "b/c"]), "subscribe");
  is(wire.requestFrame("unsubscribe", 8, ["a"]), "unsubscribe");
  is(wire.subscriptionFrame(["a", "b/c", "größe"]), "subscription-plain");
  is(wire.subscriptionFrame([]), "subscription-none");
  is(wire.publishFrame("world/größe/日本", bytes("0001feff"), 1, false), "topic");
  is(wire.publishFrame("a", wire.utf8("hi"), 2, true), "topic-identity");
  is(wire.pingFrame(1234.5625), "ping");
  is(wire.pingFrame(0), "ping-zero");
});

test("decodePacket tells forwarded packets of both protocols", () => {
  const ours = wire.decodePacket(fixture("topic-identity-fw"));
  assert.ok(ours.kind === "forward" && ours.sender);
  assert.deepEqual([ours.from, ours.topic, ours.seq, wire.text(ours.body)], [5, "a", 2, "hi"]);
  assert.equal(wire.text(ours.sender.identity), "ann");
  const old = wire.decodePacket(fixture("topic-fw-2019"));
  assert.ok(old.kind === "forward" && !old.sender);
  assert.deepEqual([old.from, old.topic, old.seq], [5, "", 0]);
});

test("unknown fields are skipped, unknown types are named", () => {
  const later = Uint8Array.of(...fixture("ack"), 0xa2, 0x06, 0x02, 1, 2, 0xa8, 0x06, 0x05);
  assert.deepEqual(wire.decodePacket(later), { kind: "ack", id: 7 });
  assert.deepEqual(wire.decodePacket(Uint8Array.of(8, 99)), { kind: "skipped", type: 99 });
  assert.deepEqual(wire.decodeSignal(Uint8Array.of(8, 38)), { kind: "skipped", type: 38 });
});

test("a frame cut short anywhere is malformed or read in full, never more", () => {
  for (const { name } of fixtures) {
    const frame = fixture(name);
    for (let length = 0; length < frame.length; length += 1) {
      for (const read of [wire.decodePacket, wire.decodeSignal]) {
        try {
          read(frame.subarray(0, length));
        } catch (error) {
          assert.ok(error instanceof wire.Malformed, `${name} at ${length}: ${error}`);
        }
      }
    }
  }
  assert.throws(() => wire.decodePacket(fixture("topic-fw").subarray(0, 7)), wire.Malformed);
});

test("random bytes are malformed or something, and always come to an end", () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647);
  for (let round = 0; round < 20_000; round += 1) {
    const frame = Uint8Array.from({ length: random() % 40 }, () => random() & 255);
    if (round % 2 && frame.length > 1) [frame[0], frame[1]] = [8, random() % 40];
    for (const read of [wire.decodePacket, wire.decodeSignal]) {
      try {
        read(frame);
      } catch (error) {
        assert.ok(error instanceof wire.Malformed, String(error));
      }
    }
  }
});

test("base64url has no padding and no characters that a subprotocol may not hold", () => {
  assert.equal(wire.base64url(Uint8Array.of(251, 255, 190, 1)), "-_--AQ");
  assert.equal(wire.base64url(new Uint8Array()), "");
});
