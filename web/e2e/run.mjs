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
  reloaded,
  duplicated,
  pageKilled,
  revoked,
  slowReader,
  coordinatorKilled,
  commserverDrained,
  commserverKilled,
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
  const [ann, ben] = await twoInPlaza(stage);
  await ann.fill("#say", "hello <b>Ben</b>");
  await ann.press("#say", "Enter");
  await until(ben, "the line of chat", () =>
    document.querySelector("#log").textContent.includes("Ann hello <b>Ben</b>"),
  );
  assert.equal(await ben.locator("#banner").isVisible(), false);
  assert.deepEqual([...ann.faults, ...ben.faults], []);
}

async function reloaded(stage) {
  const [ann, ben] = await twoInPlaza(stage);
  const alias = await aliasInPlaza(ann);
  for (let round = 0; round < 2; round += 1) {
    await ann.reload();
    await until(ann, "a welcome", () =>
      document.querySelector("#log").textContent.includes("You are here again"),
    );
    assert.equal(await aliasInPlaza(ann), alias, "the same after a reload");
    await sees(ann, 2);
    await sees(ben, 2);
  }
}

/** A duplicate of a tab has a copy of its sessionStorage: the later one has the alias. */
async function duplicated(stage) {
  const [ann, ben] = await twoInPlaza(stage);
  const alias = await aliasInPlaza(ann);
  const opened = ann.waitForEvent("popup");
  await ann.evaluate(() => void window.open(location.href));
  const eve = await opened;
  await until(ann, "to be somebody new", () =>
    document.querySelector("#log").textContent.includes("You are somebody new"),
  );
  assert.equal(await aliasInPlaza(eve), alias);
  const fresh = await aliasInPlaza(ann);
  assert.notEqual(fresh, alias);
  for (const page of [ann, ben, eve]) await sees(page, 3);
  // Each has a token of its own now.
  await ann.reload();
  await sees(ann, 3);
  assert.deepEqual([await aliasInPlaza(ann), await aliasInPlaza(eve)], [fresh, alias]);
}

async function pageKilled(stage) {
  const [ann, ben] = await twoServers(stage, "pageKilled");
  await crash(ann);
  const eve = await stage.join();
  await subscribe(eve, "pageKilled");
  await reach(eve, ben, "pageKilled");
  await reach(ben, eve, "pageKilled");
}

async function commserverDrained(stage) {
  const [gone, stayed] = await oneMoves(stage, "commserverDrained", "drain-commserver");
  const { moves, failures } = await gone.evaluate(() => ({
    moves: window.client.stats().moves,
    failures: window.failures,
  }));
  assert.deepEqual([moves, failures], [1, 0], "it was asked to go, and went");
  const count = await gone.evaluate(() => window.hush());
  await until(stayed, `${count} lines of talk`, (want) => window.talked().length >= want, count);
  // Who moves may be overtaken by itself, no more.
  const heard = await stayed.evaluate(() => window.talked().sort((a, b) => a - b));
  assert.deepEqual(heard, [...Array(count).keys()], "nothing it said is lost or doubled");
  await ask("await-drained");
  await ask("start-commserver");
}

async function commserverKilled(stage) {
  await oneMoves(stage, "commserverKilled", "kill-commserver");
  await ask("start-commserver");
  await twoServers(stage, "commserverKilled");
}

/** Of two pages on two servers, one loses its server by what is asked: the first one returned. */
async function oneMoves(stage, topic, what) {
  const pages = await twoServers(stage, topic);
  const before = await serversOf(...pages);
  const aliases = await aliasesOf(...pages);
  for (const page of pages) {
    await page.evaluate(publishMeanwhile, topic);
    await page.evaluate(talk, topic);
  }
  await ask(what);
  // Whose it was, nobody says: one of the two must move, and both end on the other one.
  const gone = await Promise.any(
    pages.map(async (page) => {
      await until(page, "another server", () => window.servers.length > 1);
      return page;
    }),
  );
  const [stayed] = pages.filter((page) => page !== gone);
  const [now, other] = await serversOf(gone, stayed);
  assert.equal(now, other, "on the server that is left");
  assert.ok(before.includes(now));
  assert.deepEqual(await aliasesOf(...pages), aliases, "under the same aliases");
  assert.equal(await gone.evaluate(() => window.meanwhile), "queued");
  await until(stayed, "what was published meanwhile", () =>
    window.heard.some(({ bytes }) => String.fromCharCode(...bytes) === "meanwhile"),
  );
  // Nobody subscribes again.
  await reach(gone, stayed, topic);
  await reach(stayed, gone, topic);
  return [gone, stayed];
}

/** In the page: publishes at the moment when the server is lost or left. */
function publishMeanwhile(topic) {
  window.failures = 0;
  window.client.on("state", ({ state, failures }) => {
    window.failures = Math.max(window.failures, failures);
    if (state !== "reconnecting" || window.meanwhile) return;
    window.meanwhile = window.client.publish(topic, "meanwhile");
  });
}

async function revoked(stage) {
  const [ann, ben] = await twoServers(stage, "revoked");
  const { alias, resume } = await ann.evaluate(() => {
    const { status, resumeToken } = window.client;
    return { alias: status.alias, resume: resumeToken };
  });
  await ask(`revoke ${alias}`);
  const isOut = () => {
    const { state, error } = window.client.status;
    return state === "closed" && error?.reason === "Revoked";
  };
  await until(ann, "the end", isOut);
  // It does not come back under its alias either.
  await ann.evaluate(
    async ([url, token]) => {
      const { connect } = await import("/broker-client.js");
      window.client = connect({ url, resume: token });
    },
    [COORDINATOR_URL, resume],
  );
  await until(ann, "to be shut out", isOut);
  const eve = await stage.join();
  await subscribe(eve, "revoked");
  await reach(eve, ben, "revoked");
  assert.equal(await ben.evaluate(() => window.servers.length), 1, "the others stay");
}

/** A page that is stopped while it is sent more than waits for anybody is told why it was closed. */
async function slowReader(stage) {
  const [eve, ben] = await twoServers(stage, "slowReader");
  const others = await stage.renderers();
  const ann = await stage.join();
  const renderers = (await stage.renderers()).filter((pid) => !others.includes(pid));
  await subscribe(ann, "slowReader");
  await reach(ben, ann, "slowReader");
  const [alias] = await aliasesOf(ann);
  await ann.evaluate(() => {
    window.reasons = [];
    window.client.on("state", ({ error }) => error && window.reasons.push(error.reason));
  });
  signal(renderers, "SIGSTOP");
  try {
    await ben.evaluate(flood, ["slowReader", 3 * 1024 * 1024]);
    // Servers pass on in order: ann's has seen all of it when eve's has.
    await reach(ben, eve, "slowReader");
    await reach(eve, ben, "slowReader");
  } finally {
    signal(renderers, "SIGCONT");
  }
  await until(ann, "the reason", () => window.reasons.includes("SlowConsumer"));
  await until(ann, "to be back", () => window.client.status.state === "connected");
  await reach(ben, ann, "slowReader");
  assert.deepEqual(await aliasesOf(ann), [alias]);
}

/** One that was kept in reserve may have gone meanwhile. */
function signal(pids, name) {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  }
}

/** In the page: publishes so many bytes as fast as they are taken. */
async function flood([topic, bytes]) {
  const chunk = new Uint8Array(8 * 1024);
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    while (window.client.stats().queued.bytes > chunk.length) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    window.client.publish(topic, chunk);
  }
}

async function coordinatorKilled(stage) {
  const [ann, ben] = await twoServers(stage, "coordinatorKilled");
  const aliases = await aliasesOf(ann, ben);
  for (const page of [ann, ben]) await page.evaluate(talk, "coordinatorKilled");
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
  for (const [from, to] of [
    [ann, ben],
    [ben, ann],
  ]) {
    const count = await from.evaluate(() => window.hush());
    await until(to, `${count} lines of talk`, (want) => window.talked().length >= want, count);
    const heard = await to.evaluate(() => window.talked());
    assert.deepEqual(heard, [...Array(count).keys()], "nothing is lost, doubled or out of order");
  }
  assert.deepEqual(await aliasesOf(ann, ben), aliases);
  // What the coordinator knows of them, not only their servers: they come back to it as themselves.
  for (const page of [ann, ben]) await page.evaluate(comeBack, [COORDINATOR_URL, TOKEN]);
  assert.deepEqual(await aliasesOf(ann, ben), aliases, "at a coordinator that knew nobody");
}

/** In the page: counts aloud, many times a second, until it is hushed. */
function talk(topic) {
  let count = 0;
  const timer = setInterval(() => window.client.publish(topic, `talk ${count++}`), 25);
  window.hush = () => {
    clearInterval(timer);
    return count;
  };
  window.talked = () =>
    window.heard
      .map(({ bytes }) => /^talk (\d+)$/.exec(String.fromCharCode(...bytes)))
      .flatMap((match) => (match ? [Number(match[1])] : []));
}

/** In the page: leaves, and joins anew with the resume token. */
async function comeBack([url, token]) {
  const { connect } = await import("/broker-client.js");
  const resume = window.client.resumeToken;
  window.client.close();
  window.client = connect({ url, token, resume });
  await window.client.connected();
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

const aliasesOf = (...pages) =>
  Promise.all(pages.map((page) => page.evaluate(() => window.client.status.alias)));

/** Ann and Ben in the plaza, who see each other. */
async function twoInPlaza(stage) {
  const query = new URLSearchParams({ url: COORDINATOR_URL, ...(TOKEN && { token: TOKEN }) });
  const open = (name) => stage.open(`${stage.origin}/demo/index.html?name=${name}&${query}`);
  const pages = [await open("Ann"), await open("Ben")];
  for (const page of pages) {
    await sees(page, 2);
    await page.mouse.move(300, 300);
  }
  return pages;
}

const sees = (page, count) =>
  until(
    page,
    `${count} people`,
    (want) => document.querySelector("#people").textContent.startsWith(`${want} people`),
    count,
  );

/** Who the page is, as it says itself where one points at its server. */
async function aliasInPlaza(page) {
  const title = () => document.querySelector("#server").title;
  await until(page, "a server", () => document.querySelector("#server").title !== "");
  return /you are (\d+)$/.exec(await page.evaluate(title))[1];
}

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
