// Unit tests: TypeScript to build/test/ with esbuild, then node's own test runner.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";
import { root } from "./files.mjs";

process.chdir(root);
rmSync("build/test", { recursive: true, force: true });
const tests = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
await build({
  entryPoints: tests.map((name) => `test/${name}`),
  bundle: true,
  platform: "node",
  format: "esm",
  outdir: "build/test",
  outExtension: { ".js": ".mjs" },
  sourcemap: "inline",
  logLevel: "warning",
});
const built = tests.map((name) => `build/test/${name.replace(/ts$/, "mjs")}`);
const run = ["--enable-source-maps", "--test", "--test-reporter=spec", ...built];
process.exit(spawnSync(process.execPath, run, { stdio: "inherit" }).status ?? 1);
