// What the scenarios stand on: a browser, a page that holds the library, questions to whoever runs
// the servers. Nothing here waits for time to pass, only for events with a deadline.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** Longest wait for anything: a dead server is noticed in 6 s, a bad attempt given up in 10 s. */
export const DEADLINE_MS = 40_000;

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css" };
const BLANK = "<!doctype html><title>client</title>";
/** What the plaza is served with: nothing inline, nothing from elsewhere. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:";

/** Starts the browser and the server of its pages. */
export async function start({ coordinator, token, browser: executablePath }) {
  const files = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    try {
      const body = pathname === "/" ? BLANK : readFileSync(`${dist}${pathname}`);
      const type = TYPES[pathname === "/" ? "html" : pathname.split(".").at(-1)];
      response.writeHead(200, { "content-type": type, "content-security-policy": POLICY });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => files.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${files.address().port}`;
  const flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync";
  const quiet = "--disable-background-networking --disable-component-update";
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    args: `${flags} ${quiet}`.split(" "),
  });
  return {
    origin,
    open: (url = `${origin}/`) => openPage(browser, url),
    join: async () => join(await openPage(browser, `${origin}/`), coordinator, token),
    renderers: () => renderers(browser),
    closePages: () => Promise.all(browser.contexts().map((context) => context.close())),
    stop: async () => {
      await browser.close();
      files.close();
    },
  };
}

/** The processes that pages live in: one for each context, and what the browser keeps in reserve. */
async function renderers(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
}

async function openPage(browser, url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (entry) => {
    const { url: source } = entry.location();
    if (entry.type() === "error" && !/favicon/.test(source)) page.faults.push(entry.text());
  });
  await page.goto(url);
  return page;
}

/** A page with a connected client in `window.client`, and what it heard in `window.heard`. */
async function join(page, coordinator, token) {
  await page.evaluate(
    async ([url, secret]) => {
      const { connect } = await import("/broker-client.js");
      const client = connect({ url, ...(secret && { token: secret }) });
      window.client = client;
      window.heard = [];
      window.servers = [];
      client.on("message", ({ from, topic, seq, lane, body, sender }) => {
        const bytes = [...body];
        window.heard.push({
          from,
          topic,
          seq,
          lane,
          bytes,
          sender: sender && [...sender.identity],
        });
      });
      client.on("state", ({ state, server }) => {
        if (state === "connected" && window.servers.at(-1) !== server) window.servers.push(server);
      });
      await client.connected();
    },
    [coordinator, token],
  );
  return page;
}

/** Waits until `condition`, evaluated in the page with `argument`, holds. */
export async function until(page, what, condition, argument) {
  try {
    await page.waitForFunction(condition, argument, { timeout: DEADLINE_MS, polling: 50 });
  } catch (cause) {
    const seen = await page
      .evaluate(() => {
        const { client, heard } = window;
        return { status: client?.status, stats: client?.stats(), heard: heard?.length };
      })
      .catch(() => "the page is gone");
    throw new Error(`not in time: ${what}; ${JSON.stringify(seen)}`, { cause });
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks whoever runs the servers to do something, and waits until it is done. */
export async function ask(what) {
  console.log(`ask ${what}`);
  const { value, done } = await lines.next();
  if (done || value.trim() !== "done") throw new Error(`asked to ${what}, was answered ${value}`);
}

/** No more questions. */
export function hush() {
  process.stdin.unref?.();
  process.stdin.destroy();
}
