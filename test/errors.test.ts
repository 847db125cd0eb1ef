import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { z } from "zod";
import { fileSource } from "../src/checkpoints/file-source-node.ts";
import { inWords, opt, showOptions, USER_ERROR_CODES, UserError, withCode } from "../src/errors.ts";
import { writeFailure } from "../src/files/atomic-file-node.ts";
import { urlSource } from "../src/files/url-source.ts";
import { fineTune } from "../src/fine-tune.ts";
import { loadFineTunedModel } from "../src/inference/load-fine-tuned-model-node.ts";
import { readRunRecords } from "../src/runs/read-run.ts";

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

test("a message names options as programs do; a surface shows its own names", () => {
  const message = `lower ${opt("maxLength")}, or leave ${opt("dropout")} out (aflora train --resume x)`;
  expect(message).toBe('lower option "maxLength", or leave option "dropout" out (aflora train --resume x)');
  expect(showOptions(message, (name) => `<${name}>`)).toBe(
    "lower <maxLength>, or leave <dropout> out (aflora train --resume x)",
  );
});

test("the page of what is stable lists every code", async () => {
  const page = await readFile(fileURLToPath(new URL("../docs/stability.md", import.meta.url)), "utf8");
  const [, section] = page.split("## Codes of errors");
  const listed = [...section!.split("\n## ")[0]!.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, code]) => code);
  expect(listed).toEqual(USER_ERROR_CODES);
});

const MODEL = fileURLToPath(new URL("fixtures/models/bert-1", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../package.json", import.meta.url));

test.each<[code: string, mistake: () => unknown]>([
  ["invalid-option", () => fineTune({ train: "x.csv", epochs: -1 })],
  ["file-not-found", () => fineTune({ train: "missing.csv", model: MODEL })],
  ["file-not-found", () => fileSource("missing.bin")],
  ["invalid-data", () => fineTune({ train: PACKAGE, model: MODEL })],
  ["invalid-model", () => loadFineTunedModel("test/missing")],
  ["invalid-run", () => readRunRecords("test/missing")],
  ["network", () => urlSource("http://127.0.0.1:9/model")],
  ["cannot-write", () => Promise.reject(writeFailure("x", Object.assign(new Error(), { code: "ENOSPC" })))],
])("the code of a mistake: %s", async (code, mistake) => {
  const error = await Promise.resolve(mistake()).catch((each: unknown) => each);
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).code).toBe(code);
});

test("an error keeps its first code, also in the sentence of another error", async () => {
  const first = new UserError("the disk is full", { code: "cannot-write" });
  const error = await withCode("invalid-run", Promise.reject(new UserError("training ended", { cause: first }))).catch(
    (each: unknown) => each,
  );
  expect((error as UserError).code).toBe("cannot-write");
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
