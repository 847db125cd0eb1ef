import { Command } from "commander";
import { expect, test } from "vitest";
import { addMethodOptions, addPaperOptions } from "../../src/cli/schema-options.ts";

test("options that only repeat papers have a heading of their own in help", () => {
  const command = new Command("train");
  addMethodOptions(command);
  addPaperOptions(command);
  const groupOf = (flag: string) => command.options.find(({ long }) => long === flag)!.helpGroupHeading;
  expect(groupOf("--rank")).toMatch(/^Method /);
  expect(groupOf("--beta1")).toBe("To reproduce published results:");
});
