import { describe, expect, test } from "vitest";
import { builtInReward, namesCode, type RewardSettings } from "../../src/tasks/reward-functions.ts";

const schema = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer", minimum: 0 } },
  required: ["name", "age"],
  additionalProperties: false,
};

describe.each([
  ["last-number", {}, "so it is 5.\n#### 1,250", 1],
  ["last-number", {}, "The answer is $1,250.00.", 1],
  ["last-number", {}, "It is 1250 or 12", 0],
  ["last-number", {}, "I do not know.", 0],
  ["json", { rewardSchema: schema }, ' {"age": 3, "name": "Ida"}\n', 1],
  ["json", { rewardSchema: schema }, '{"age": 3.5, "name": "Ida"}', 0],
  ["json", { rewardSchema: schema }, '{"age": 3, "name": "Ida", "city": "Bonn"}', 0],
  ["json", { rewardSchema: schema }, '```json\n{"age": 3, "name": "Ida"}\n```', 0],
  ["regex", { rewardPattern: "^Dear \\w+" }, "Dear Ida,", 1],
  ["regex", { rewardPattern: "^Dear \\w+" }, "Hello Dear Ida", 0],
  ["length", { rewardWords: 4 }, "four words it is", 1],
  ["length", { rewardWords: 4 }, "only two", 0.5],
  ["length", { rewardWords: 4 }, "a a a a a a a a a", 0],
] satisfies [string, RewardSettings, string, number][])("%s %j", (name, settings, answer, expected) => {
  test(`gives ${JSON.stringify(answer)} ${expected}`, async () => {
    const row = { answer: "She has 5 * 250 = <<5*250=1250>>1250.\n#### 1,250" };
    expect(await builtInReward(name, settings)("", answer, row)).toBe(expected);
  });
});

test("options name a file with code, or a built-in reward", () => {
  for (const reward of ["reward.ts", "/home/me/reward.mjs", "../json.cjs"]) expect(namesCode({ reward })).toBe(true);
  for (const options of [{ reward: "json", rewardSchema: "schema.json" }, { reward: "length" }, {}, { reward: 3 }])
    expect(namesCode(options)).toBe(false);
});

test("a row without a correct number cannot be scored; invalid schemas and patterns are refused", () => {
  expect(() => builtInReward("last-number", {})("", "5", {})).toThrow('no number in its column "answer"');
  expect(() => builtInReward("json", { rewardSchema: { type: "unheard" } })).toThrow('option "rewardSchema"');
  expect(() => builtInReward("regex", { rewardPattern: "(" })).toThrow('option "rewardPattern"');
});
