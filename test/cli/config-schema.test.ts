import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { configSchema } from "../../src/cli/config-schema.ts";

test("the schema of config files takes options of runs, kinds and methods, and refuses others by name", () => {
  const check = new Ajv2020({ strict: false }).compile(configSchema());
  const config = {
    $schema: "schema.json",
    train: "a.csv",
    text: "message",
    label: "team",
    method: "lora",
    device: "cpu",
  };
  expect([check({ ...config, epochs: 3, rank: 8, targetModules: ["query"] }), check.errors]).toEqual([true, null]);
  for (const wrong of [{ epochs: "three" }, { epoch: 3 }, { device: "npu" }, { rank: -1 }]) {
    expect(check({ ...config, ...wrong }), JSON.stringify(wrong)).toBe(false);
  }
});
