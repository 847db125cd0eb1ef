import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { givenSchema } from "../../src/cli/json-schema-option.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-json-schema-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("a schema's file is read, or refused in a sentence before a model is loaded", async () => {
  const written = async (name: string, text: string): Promise<string> => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  expect(await givenSchema(undefined)).toEqual({});
  expect(await givenSchema(await written("good.json", '{"type": "null"}'))).toEqual({ jsonSchema: { type: "null" } });
  await expect(givenSchema(join(folder, "none.json"))).rejects.toThrow(/--json-schema: there is no file .*none\.json/);
  await expect(givenSchema(folder)).rejects.toThrow(/is not a file/);
  await expect(givenSchema(await written("half.json", "{"))).rejects.toThrow(/half\.json is not valid JSON/);
  await expect(givenSchema(await written("odd.json", '{"multipleOf": 2}'))).rejects.toThrow(
    /multipleOf is not supported/,
  );
});
