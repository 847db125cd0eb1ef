import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { z } from "zod";
import { inWords, namingOptions, UserError } from "../src/errors.ts";

test.each([
  [z.object({ a: z.string() }), {}, "it is missing"],
  [z.object({ a: z.string() }), { a: 3 }, "it must be a text, not 3"],
  [z.object({ a: z.int() }), { a: 0.5 }, "it must be a whole number, not 0.5"],
  [z.object({ a: z.int().positive() }), { a: 0 }, "it must be above 0, not 0"],
  [z.object({ a: z.number().min(0).lt(1) }), { a: 1 }, "it must be below 1, not 1"],
  [z.object({ a: z.boolean() }), { a: "no" }, 'it must be true or false, not "no"'],
  [z.object({ a: z.enum(["x", "y"]) }), { a: "z" }, 'it must be "x" or "y", not "z"'],
  [z.object({ a: z.array(z.string()).min(1) }), { a: [] }, "it must not be empty"],
  [z.object({ a: z.record(z.string(), z.string()) }), { a: [1] }, "it must be an object, not [1]"],
  [z.object({ a: z.union([z.string(), z.int()]) }), { a: true }, "it has an unknown form: true"],
  [z.object({ a: z.string("own words") }), { a: 3 }, "own words"],
] as const)("what is wrong is said in words: %#", (schema, input, words) => {
  const { error } = (schema as z.ZodType).safeParse(input, { error: inWords });
  expect(error!.issues.map(({ message }) => message)).toEqual([words]);
});

test("an error of the API names options; the command line shows its flags", async () => {
  const message = "lower --max-length or leave --no-dropout out (aflora train --resume x, or --overwrite)";
  const error = await namingOptions(() => Promise.reject(new UserError(message))).catch((each) => each);
  expect(error.message).toBe(
    'lower option "maxLength" or leave option "dropout" out (aflora train --resume x, or option "overwrite")',
  );
  expect(error.inFlags).toBe(message);
});

test("whatever shows an issue's message has it in words", async () => {
  const source = fileURLToPath(new URL("../src", import.meta.url));
  const files = (await readdir(source, { recursive: true })).filter((file) => file.endsWith(".ts"));
  const texts = await Promise.all(
    files.map(async (file) => [file, await readFile(join(source, file), "utf8")] as const),
  );
  const shown = texts.filter(([, text]) => /issue!?\.message/.test(text));
  expect(shown.length).toBeGreaterThan(4);
  expect(
    shown.filter(([, text]) => !/safeParse\(\w+, \{ error: inWords \}\)/.test(text)).map(([file]) => file),
  ).toEqual([]);
});
