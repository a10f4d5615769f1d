// A real browser against real servers: see README.md beside this file.
import assert from "node:assert/strict";
import { ask, hush, start, until } from "./harness.mjs";

const { COORDINATOR_URL, BROWSER = "/usr/bin/chromium", TOKEN = "", SCENARIOS } = process.env;
if (!COORDINATOR_URL) {
  console.error("COORDINATOR_URL is not set, e.g. ws://127.0.0.1:9090/connect");
  process.exit(64);
}

/** In the order in which they run: the later ones kill servers. */
const scenarios = {
  exchange,
  sizes,
  order,
  plaza,
  pageKilled,
  commserverKilled,
  coordinatorKilled,
};

async function exchange(stage) {
  const [ann, ben] = await twoServers(stage, "exchange");
  for (const lane of ["reliable", "unreliable"]) {
    for (const [from, to] of [
      [ann, ben],
      [ben, ann],
    ]) {
      await say(from, "exchange", "größe, 日本", { lane });
      await say(from, "exchange", [0, 1, 127, 128, 255], { lane });
      const alias = await from.evaluate(() => window.client.status.alias);
      const text = [...Buffer.from("größe, 日本")];
      await hears(to, { from: alias, topic: "exchange", lane, bytes: text });
      await hears(to, { from: alias, topic: "exchange", lane, bytes: [0, 1, 127, 128, 255] });
    }
  }
  await say(ann, "exchange", "it is me", { identity: true });
  await until(ben, "a message with its sender", () => window.heard.some(({ sender }) => sender));
  const own = await ann.evaluate(() => {
    const { alias } = window.client.status;
    return window.heard.filter(({ from }) => from === alias).length;
  });
  assert.equal(own, 0, "nobody hears what they say");
  await until(ann, "a round trip", () => window.client.stats().rttMs !== undefined);
}

async function sizes(stage) {
  const [ann, ben] = await twoServers(stage, "sizes");
  const overhead = "sizes".length + 12;
  for (const lane of ["reliable", "unreliable"]) {
    const length = 16_384 - overhead;
    await say(ann, "sizes", Array(length).fill(7), { lane });
    await until(
      ben,
      `${length} bytes`,
      (want) =>
        window.heard.some(({ bytes, lane: on }) => bytes.length === want[0] && on === want[1]),
      [length, lane],
    );
    const reason = await ann.evaluate((on) => {
      try {
        return window.client.publish("sizes", new Uint8Array(16_384), { lane: on });
      } catch (error) {
        return error.reason;
      }
    }, lane);
    assert.equal(reason, "PacketTooLarge");
  }
}

async function order(stage) {
  const [ann, ben] = await twoServers(stage, "order");
  const count = 2_000;
  await ann.evaluate((total) => {
    for (let index = 0; index < total; index += 1) window.client.publish("order", `${index}`);
  }, count);
  await until(
    ben,
    `${count} messages`,
    (total) =>
      window.heard.filter(({ topic, bytes }) => topic === "order" && bytes.length < 5).length >=
      total,
    count,
  );
  const [bodies, seqs] = await ben.evaluate(() => {
    const heard = window.heard.filter(({ bytes }) => bytes.length < 5);
    return [
      heard.map(({ bytes }) => Number(String.fromCharCode(...bytes))),
      heard.map(({ seq }) => seq),
    ];
  });
  assert.deepEqual(
    bodies,
    Array.from({ length: count }, (_, index) => index),
  );
  assert.ok(seqs.every((seq, index) => index === 0 || seq === seqs[index - 1] + 1));
}

async function plaza(stage) {
  const query = new URLSearchParams({ url: COORDINATOR_URL, ...(TOKEN && { token: TOKEN }) });
  const open = (name) => stage.open(`${stage.origin}/demo/index.html?name=${name}&${query}`);
  const [ann, ben] = [await open("Ann"), await open("Ben")];
  for (const page of [ann, ben]) {
    await until(page, "two people", () =>
      document.querySelector("#people").textContent.startsWith("2 people"),
    );
    await page.mouse.move(300, 300);
  }
  await ann.fill("#say", "hello <b>Ben</b>");
  await ann.press("#say", "Enter");
  await until(ben, "the line of chat", () =>
    document.querySelector("#log").textContent.includes("Ann hello <b>Ben</b>"),
  );
  assert.equal(await ben.locator("#banner").isVisible(), false);
  assert.deepEqual([...ann.faults, ...ben.faults], []);
}

async function pageKilled(stage) {
  const [ann, ben] = await twoServers(stage, "pageKilled");
  await crash(ann);
  const eve = await stage.join();
  await subscribe(eve, "pageKilled");
  await reach(eve, ben, "pageKilled");
  await reach(ben, eve, "pageKilled");
}

async function commserverKilled(stage) {
  const [ann, ben] = await twoServers(stage, "commserverKilled");
  const before = await serversOf(ann, ben);
  for (const page of [ann, ben]) await page.evaluate(publishMeanwhile);
  await ask("kill-commserver");
  // Whose it was, nobody says: one of the two must move, and both end on the other one.
  const gone = await Promise.any(
    [ann, ben].map(async (page) => {
      await until(page, "a lost server", () => window.client.status.state !== "connected");
      return page;
    }),
  );
  const stayed = gone === ann ? ben : ann;
  await until(gone, "another server", () => window.client.status.state === "connected");
  const [now, other] = await serversOf(gone, stayed);
  assert.equal(now, other, "on the server that is left");
  assert.ok(before.includes(now));
  assert.equal(await gone.evaluate(() => window.meanwhile), "queued");
  await until(stayed, "what was published meanwhile", () =>
    window.heard.some(({ bytes }) => String.fromCharCode(...bytes) === "meanwhile"),
  );
  await reach(ann, ben, "commserverKilled");
  await reach(ben, ann, "commserverKilled");
  await ask("start-commserver");
  await twoServers(stage, "commserverKilled");
}

/** In the page: publishes at the moment when the server is lost. */
function publishMeanwhile() {
  window.client.on("state", ({ state }) => {
    if (state !== "reconnecting" || window.meanwhile) return;
    window.meanwhile = window.client.publish("commserverKilled", "meanwhile");
  });
}

async function coordinatorKilled(stage) {
  const [ann, ben] = await twoServers(stage, "coordinatorKilled");
  await ask("kill-coordinator");
  for (const page of [ann, ben]) {
    await until(page, "a lost coordinator", () => !window.client.status.signalling);
    assert.equal(await page.evaluate(() => window.client.status.state), "connected");
  }
  await reach(ann, ben, "coordinatorKilled");
  await reach(ben, ann, "coordinatorKilled");
  await ask("start-coordinator");
  for (const page of [ann, ben]) {
    await until(page, "the coordinator again", () => window.client.status.signalling);
    assert.equal(await page.evaluate(() => window.servers.length), 1, "the server stays");
  }
  await reach(ann, ben, "coordinatorKilled");
}

// --- steps ---

/** Two pages on two servers, both subscribed to `topic`, each reaching the other. */
async function twoServers(stage, topic) {
  const ann = await stage.join();
  const [first] = await serversOf(ann);
  let ben = await stage.join();
  // Servers are assigned at random.
  for (let tries = 0; (await serversOf(ben))[0] === first; tries += 1) {
    assert.ok(tries < 60, "the coordinator assigns one server only");
    await ben.context().close();
    ben = await stage.join();
  }
  for (const page of [ann, ben]) await subscribe(page, topic);
  await reach(ann, ben, topic);
  await reach(ben, ann, topic);
  return [ann, ben];
}

const serversOf = (...pages) =>
  Promise.all(pages.map((page) => page.evaluate(() => window.client.status.server)));

const subscribe = (page, topic) =>
  page.evaluate((wanted) => window.client.subscribe(wanted), topic);

const say = (page, topic, body, options = {}) =>
  page.evaluate(
    ([to, what, how]) =>
      window.client.publish(to, typeof what === "string" ? what : new Uint8Array(what), how),
    [topic, body, options],
  );

const hears = (page, want) =>
  until(
    page,
    JSON.stringify(want).slice(0, 200),
    (wanted) =>
      window.heard.some(({ from, topic, lane, bytes }) => {
        const heard = JSON.stringify({ from, topic, lane, bytes });
        return heard === JSON.stringify(wanted);
      }),
    want,
  );

/** Publishes until it arrives: interest takes a moment to travel between servers. */
async function reach(from, to, topic) {
  const probe = `probe ${Math.random()}`;
  const timer = setInterval(() => say(from, topic, probe).catch(() => {}), 100);
  try {
    await until(
      to,
      `a probe on ${topic}`,
      (text) => window.heard.some(({ bytes }) => String.fromCharCode(...bytes) === text),
      probe,
    );
  } finally {
    clearInterval(timer);
  }
}

/** The page's process dies, without a farewell. */
async function crash(page) {
  const session = await page.context().newCDPSession(page);
  const crashed = new Promise((resolve) => page.once("crash", resolve));
  session.send("Page.crash").catch(() => {});
  await crashed;
}

// --- all of them ---

const wanted = SCENARIOS ? SCENARIOS.split(",") : Object.keys(scenarios);
let failures = 0;
const stage = await start({ coordinator: COORDINATOR_URL, token: TOKEN, browser: BROWSER });
for (const name of wanted) {
  const began = Date.now();
  try {
    await scenarios[name](stage);
    console.log(`ok ${name} ${Date.now() - began} ms`);
  } catch (error) {
    failures += 1;
    console.log(`not ok ${name}: ${error.stack}`);
  }
  await stage.closePages();
}
await stage.stop();
hush();
process.exitCode = failures === 0 ? 0 : 1;
