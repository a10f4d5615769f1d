// Writes generated files, or with `--check` compares them with what is there.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder `web/`. */
export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

/** Brings `files` (path below web/ -> text) to disk, or fails when `--check` finds one stale. */
export function settle(command, files) {
  const check = process.argv.includes("--check");
  const stale = [];
  for (const [path, text] of Object.entries(files)) {
    const file = `${root}/${path}`;
    if (existsSync(file) && readFileSync(file, "utf8") === text) continue;
    stale.push(path);
    if (check) continue;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  if (check && stale.length > 0) {
    console.error(`stale: ${stale.join(", ")}\nrun \`${command}\` in web/ and commit the result`);
    process.exit(1);
  }
}
