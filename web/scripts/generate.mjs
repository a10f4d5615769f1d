// Generates the codec and the limits in src/generated/ from what Rust and TypeScript share.
// `--check` writes nothing and fails when a file is stale. (reasons.ts: `cargo xtask codegen`.)
//
// Needs only npm packages. The limits are read from the Rust sources by their fixed form; one that
// no longer has it is an error here, not a silent omission.
import { readFileSync } from "node:fs";
import { compileRaw } from "pbf/compile";
import resolve from "resolve-protobuf-schema";
import { root, settle } from "./files.mjs";

const read = (path) => readFileSync(`${root}/../${path}`, "utf8");
const header = (source) => `// Generated from ${source} by \`npm run generate\`; do not edit.\n`;

function codec(schema) {
  return `${header("proto/schema/broker.proto")}${compileRaw(schema, { dev: true })}`;
}

/** Types for the codec: pbf writes JavaScript only. */
function codecTypes(schema) {
  let out = `${header("proto/schema/broker.proto")}import type { PbfReader, PbfWriter } from "pbf";\n`;
  for (const { name, values } of schema.enums) {
    const entries = Object.entries(values).map(
      ([key, { value }]) => `  readonly ${key}: ${value};\n`,
    );
    out += `\nexport declare const ${name}: {\n${entries.join("")}};\n`;
  }
  for (const { name, fields } of schema.messages) {
    const lines = fields.map((field) => `  ${field.name}${optional(field)}: ${typeOf(field)};\n`);
    out += `\nexport interface ${name} {\n${lines.join("")}}\n`;
    out += `export declare function read${name}(pbf: PbfReader, end?: number): ${name};\n`;
    out += `export declare function write${name}(message: Partial<${name}>, pbf: PbfWriter): void;\n`;
  }
  return out;
}

function optional(field) {
  const message = !SCALARS[field.type] && /Options$/.test(field.type);
  return !field.repeated && (field.type === "bytes" || message) ? "?" : "";
}

function typeOf(field) {
  const scalar = SCALARS[field.type] ?? (messages.has(field.type) ? field.type : "number");
  if (field.repeated) return `${scalar}[]`;
  return optional(field) ? `${scalar} | undefined` : scalar;
}

const SCALARS = {
  uint64: "number",
  uint32: "number",
  double: "number",
  bool: "boolean",
  string: "string",
  bytes: "Uint8Array",
};

/** The constants of proto that a client needs too. */
function limits() {
  const source = read("proto/src/limits.rs") + read("proto/src/lib.rs");
  const names = [
    "PACKET_BYTES_MAX",
    "PACKET_BYTES_MAX_2019",
    "PLAIN_TOPIC_LIST_BYTES_MAX",
    "TOPIC_BYTES_MAX",
    "SUBSCRIPTIONS_MAX",
    "SUBPROTOCOL",
    "TOKEN_SUBPROTOCOL_PREFIX",
    "RESUME_SUBPROTOCOL_PREFIX",
    "CLOSE_CODE_BASE",
  ];
  const lines = names.map((name) => {
    const value = source.match(new RegExp(`pub const ${name}: [^=]+ = ("[^"]*"|[\\d_* ]+);`))?.[1];
    if (!value) throw new Error(`proto: no constant ${name} of a form that can be read`);
    return `export const ${name} = ${value};\n`;
  });
  return `${header("proto/src/limits.rs and lib.rs")}${lines.join("")}`;
}

const schema = resolve.sync(`${root}/../proto/schema/broker.proto`);
const messages = new Set(schema.messages.map(({ name }) => name));
settle("npm run generate", {
  "src/generated/codec.js": codec(schema),
  "src/generated/codec.d.ts": codecTypes(schema),
  "src/generated/limits.ts": limits(),
});
