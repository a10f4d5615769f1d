// Builds dist/: the library as one ES module with its types, and the demo page. `--check` writes
// nothing and fails when what is committed is stale.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { build } from "esbuild";
import { root, settle } from "./files.mjs";

process.chdir(root);

/** The library is fetched by every page: it must stay small. */
const LIBRARY_BYTES_MAX = 60_000;
const DEMO_BYTES_MAX = 80_000;

const NOTICE =
  "/*! WebRTC message broker, Apache-2.0. Contains pbf, BSD-3-Clause: see LICENSES.txt */";

async function bundle(entry, bytesMax) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    banner: { js: NOTICE },
    legalComments: "none",
    write: false,
    logLevel: "warning",
  });
  const text = outputFiles[0].text;
  if (text.length > bytesMax) throw new Error(`${entry}: ${text.length} bytes`);
  return text;
}

/** The public types in one file: the declarations of each module, exported as index.ts does. */
function types() {
  rmSync("build/types", { recursive: true, force: true });
  const flags =
    "--noEmit false --declaration --emitDeclarationOnly --outDir build/types --rootDir .";
  tsc(flags.split(" "));
  const names = [];
  const parts = ["api", "transport", "client", "reasons", "generated/reasons"].map((name) => {
    const text = readFileSync(`build/types/src/${name}.d.ts`, "utf8");
    const exported = /^export (?:interface|type) (\w+)/gm;
    for (const match of text.matchAll(exported)) names.push(match[1]);
    return text.replace(/^import [^;]*;\n/gm, "").replace(/^export (\{\};\n)?/gm, "");
  });
  const values = "export { BrokerError, Client, connect, REASONS };";
  return `${parts.join("\n")}\n${values}\nexport type { ${names.join(", ")} };\n`;
}

function tsc(flags) {
  execFileSync("node_modules/.bin/tsc", flags, { stdio: "inherit" });
}

/** The types must stand on their own, as they do for whoever installs the library. */
function checkTypes() {
  const flags = "--noEmit --strict --target es2022 --module esnext --lib es2022,dom";
  tsc([...flags.split(" "), "--ignoreConfig", "dist/broker-client.d.ts"]);
}

const files = {
  "dist/broker-client.js": await bundle("src/index.ts", LIBRARY_BYTES_MAX),
  "dist/broker-client.d.ts": types(),
  "dist/LICENSES.txt": `pbf\n===\n\n${readFileSync("node_modules/pbf/LICENSE", "utf8")}`,
};
if (existsSync("demo/index.html")) {
  files["dist/demo/demo.js"] = await bundle("demo/main.ts", DEMO_BYTES_MAX);
  files["dist/demo/demo.css"] = readFileSync("demo/demo.css", "utf8");
  files["dist/demo/index.html"] = readFileSync("demo/index.html", "utf8");
}
settle("npm run build", files);
checkTypes();
for (const [path, text] of Object.entries(files)) console.log(`${path} ${text.length}`);
