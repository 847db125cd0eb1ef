import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { startWatchServer } from "../../src/reports/watch-server.ts";
import { elementsOf, HOSTILE } from "../support/hostile-words.ts";
import { makeUp, writeRun } from "../support/made-up-run.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-watch-"));
});
afterAll(() => rm(home, { recursive: true }));

const run = makeUp();

async function watched(name: string) {
  const begun = { ...run, steps: run.steps.slice(0, 10), evaluations: [], freezing: [] };
  const directory = await writeRun(join(home, name), begun, false);
  const server = await startWatchServer();
  await server.follow(directory);
  onTestFinished(() => server.close().catch(() => {}));
  return { directory, server };
}

/** Asks with headers that `fetch` does not let one set. */
function ask(url: string, headers: Record<string, string>, method = "GET"): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { headers, method }, (response) => {
      response.destroy();
      resolve(response.statusCode!);
    });
    asking.on("error", reject).end();
  });
}

test("serves only on loopback, and only to pages that were opened as loopback", async () => {
  const { server } = await watched("loopback");
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  const { port } = new URL(server.url);
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, "LOCALHOST", `[::1]:${port}`]) {
    expect(await ask(server.url, { host }), host).toBe(200);
  }
  for (const host of [
    "evil.example",
    `evil.example:${port}`,
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "0.0.0.0",
  ]) {
    for (const path of ["", "events", "watch.js"]) expect(await ask(server.url + path, { host }), host).toBe(403);
  }
});

test("answers odd requests without crashing", async () => {
  const { server } = await watched("odd");
  expect(await ask(server.url, {}, "POST")).toBe(405);
  expect(await ask(`${server.url}/`, {})).toBe(404);
  expect(await ask(`${server.url}result.json`, {})).toBe(404);
  expect(await ask(`${server.url}?again`, {})).toBe(200);
});

test("a page opened late has everything so far, and an open one receives later records and the end", async () => {
  const { directory, server } = await watched("late");
  expect(await (await fetch(server.url)).text()).toContain("10 steps so far");
  const events = await fetch(`${server.url}events`);
  const told = events.text();
  for (const step of run.steps.slice(10, 40)) await server.push(step);
  for (const check of run.freezing) await server.push(check);
  await server.push(run.evaluations[0]!);
  const page = await (await fetch(server.url)).text();
  expect(page).toContain("40 steps so far. Latest: accuracy");
  expect(page).toContain("24 of 24 matrices froze");
  await writeRun(directory, run);
  await server.close();
  const messages = (await told).trimEnd().split("\n\n");
  expect(messages[0]).toContain("10 steps so far");
  expect(messages.at(-2)).toContain("Best epoch 4");
  expect(messages.at(-1)).toBe("event: end\ndata:");
  await expect(fetch(server.url)).rejects.toThrow();
});

test("the end of a run whose folder was discarded is no error", async () => {
  const { directory, server } = await watched("discarded");
  const told = (await fetch(`${server.url}events`)).text();
  await rm(directory, { recursive: true });
  await server.close();
  expect((await told).trimEnd()).toMatch(/event: end\ndata:$/);
});

test("a page that is opened before there is a run shows its stages, then the run", async () => {
  const server = await startWatchServer();
  onTestFinished(() => server.close().catch(() => {}));
  const progress = { kind: "progress", stage: "evaluating", done: 5, total: 20, unit: "examples" } as const;
  await server.push(progress);
  expect(await (await fetch(server.url)).text()).toContain("The run has no records yet.");
  const told = (await fetch(`${server.url}events`)).text();
  await server.follow(await writeRun(join(home, "early"), run, false));
  await server.push(progress);
  await server.close();
  const messages = (await told).trimEnd().split("\n\n");
  expect(messages[0]).toContain("The run has no records yet.");
  expect(messages[1]).toBe('event: stage\ndata: "evaluating: 5 of 20 examples"');
  expect(messages[2]).toContain("steps so far");
});

test.each(HOSTILE)("shows the same elements, whatever labels and files are named: %s", async (evil) => {
  const shown = async (words: string) => {
    const { config, steps } = run;
    const share = { shards: 1, computing: 0.1, bytes: 1 };
    const begun = {
      ...run,
      config: { ...config, run: { ...config.run, model: words } },
      steps: steps.slice(0, 2).map((step) => ({ ...step, workers: [{ name: words, ...share }] })),
      ...{ evaluations: [], freezing: [] },
    };
    const directory = await writeRun(join(home, `${HOSTILE.indexOf(words)}`), begun, false);
    const table = { title: words, columns: [words, "b"], rows: [[words, 1]] };
    await writeFile(
      join(directory, "findings.json"),
      JSON.stringify({ examples: 1, startsFitted: true, tables: [table] }),
    );
    const server = await startWatchServer();
    onTestFinished(() => server.close().catch(() => {}));
    await server.follow(directory);
    const samples = [{ prompt: words, answer: words, reward: 1 }];
    await server.push({ ...run.evaluations[0]!, samples });
    const stage = `reading ${words}\n\ndata: ${JSON.stringify(words)}\n\n`;
    await server.push({ kind: "progress", stage, done: 0, unit: "rows" });
    const page = await (await fetch(server.url)).text();
    const told = (await fetch(`${server.url}events`)).text();
    await server.close();
    const events = (await told).trimEnd().split("\n\n");
    expect(events[1]).toBe(`event: stage\ndata: ${JSON.stringify(stage)}`);
    const contents = events.filter((event) => event.startsWith("data: ")).map((event) => JSON.parse(event.slice(6)));
    expect(contents).toHaveLength(2);
    return [page, ...contents];
  };
  const [plain, hostile] = [await shown("a label"), await shown(evil)];
  expect(hostile.map(elementsOf)).toEqual(plain.map(elementsOf));
  for (const html of hostile) {
    const cells = Array.from(parseHTML(html).document.querySelectorAll("td"), (cell) => cell.textContent);
    expect(cells).toContain(evil);
  }
});

test("a port that is taken, and a folder that is no run, are refused", async () => {
  const { server } = await watched("taken");
  const port = Number(new URL(server.url).port);
  await expect(startWatchServer(port)).rejects.toThrow(`can't watch on port ${port} of 127.0.0.1 (EADDRINUSE)`);
  await expect(server.follow(home)).rejects.toThrow("is not a run folder");
});
