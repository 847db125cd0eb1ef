import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import { RewardWorker } from "../../../src/preparation/rewards/reward-file-node.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-reward-"));
});
afterAll(() => rm(home, { recursive: true }));

async function open(name: string, code: string, seconds = 60): Promise<RewardWorker> {
  const file = join(home, name);
  await writeFile(file, code);
  return RewardWorker.start(file, seconds);
}

test("what throws, hangs, ends its thread or returns no number costs its answer alone", async () => {
  const reward = await open(
    "moody.ts",
    `interface Row { right: number }
     export default async function (prompt: string, answer: string, { right }: Row): Promise<unknown> {
       if (answer === "throw") throw new Error("cannot");
       if (answer === "hang") for (;;);
       if (answer === "wait") return new Promise(() => {});
       if (answer === "exit") process.exit(3);
       if (answer === "text") return "much";
       return prompt.length + right;
     }`,
    3,
  );
  try {
    const score = (answer: string) => reward.score("four", answer, { right: 2 });
    expect(await score("well")).toBe(6);
    await expect(score("throw")).rejects.toThrow("threw: cannot");
    await expect(score("text")).rejects.toThrow("returned no number, but 'much'");
    await expect(score("exit")).rejects.toThrow("ended its thread");
    expect(await score("well")).toBe(6);
    await expect(score("hang")).rejects.toThrow("took more than 3 s");
    expect(await score("well")).toBe(6);
  } finally {
    await reward.release();
  }
});

test("what a reward throws or ends after its answer costs no other answer", async () => {
  let ended: Promise<unknown> | undefined;
  const watch = (worker: Worker): void => {
    ended = new Promise((resolve) => worker.once("exit", resolve));
  };
  process.on("worker", watch);
  const reward = await open(
    "late.mjs",
    `export default (prompt, answer) => {
       if (answer === "throw") setTimeout(() => { throw new Error("late"); }, 50);
       if (answer === "reject") setTimeout(() => Promise.reject(new Error("late")), 50);
       if (answer === "exit") setTimeout(() => process.exit(3), 50);
       return answer.length;
     }`,
  );
  for (const answer of ["throw", "reject", "exit"]) {
    expect(await reward.score("", answer, {})).toBe(answer.length);
    await ended;
    expect(await reward.score("", "well", {})).toBe(4);
  }
  process.off("worker", watch);
  await reward.release();
});

test("what a reward throws, returns or keeps has a limit on its size", async () => {
  const reward = await open(
    "large.mjs",
    `const kept = [];
     export default (prompt, answer) => {
       if (answer === "throw") throw new Error("x".repeat(3e7));
       if (answer === "text") return "x".repeat(3e7);
       if (answer === "bytes") return Buffer.alloc(3e7);
       if (answer === "keep") kept.push(Buffer.alloc(2 ** 31 + 1));
       return kept.length;
     }`,
  );
  const failure = async (answer: string) =>
    ((await reward.score("", answer, {}).catch((error: unknown) => error)) as Error).message;
  for (const answer of ["throw", "text", "bytes"]) expect((await failure(answer)).length).toBeLessThan(400);
  expect(await failure("keep")).toMatch(/^ended its thread: it kept 21\d\d MB in buffers$/);
  expect(await reward.score("", "well", {})).toBe(0);
  await reward.release();
});

test("a reward that nobody released keeps no process alive", async () => {
  const workers = () => process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;
  const before = workers();
  const reward = await open("open.mjs", "export default () => 1;");
  expect(workers()).toBe(before);
  await reward.release();
});

test.each([
  ["broken.ts", "export default (: number", /broken\.ts cannot be loaded: ParseError: [^\n]*broken\.ts:1:\d+$/],
  ["throws.mjs", "throw new Error('no key')", /throws\.mjs cannot be loaded: no key$/],
  ["none.js", "module.exports = { rewards: 1 }", "exports no function"],
])("a file that is no reward is refused: %s", async (name, code, message) => {
  const opened = open(name, code);
  await expect(opened).rejects.toThrow(UserError);
  await expect(opened).rejects.toThrow(message);
});

test("CommonJS and named exports are rewards, too", async () => {
  const reward = await open("common.cjs", "exports.reward = (prompt, answer) => answer.length;");
  expect(await reward.score("", "three", {})).toBe(5);
  await reward.release();
});
