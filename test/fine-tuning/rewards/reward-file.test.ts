import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import { RewardWorker } from "../../../src/fine-tuning/rewards/reward-file-node.ts";

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
    await expect(score("text")).rejects.toThrow('returned no number, but "much"');
    await expect(score("exit")).rejects.toThrow("ended its thread");
    expect(await score("well")).toBe(6);
    await expect(score("hang")).rejects.toThrow("took more than 3 s");
    expect(await score("well")).toBe(6);
  } finally {
    await reward.release();
  }
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
