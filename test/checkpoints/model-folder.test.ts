import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashedFiles, refuseOtherFiles } from "../../src/checkpoints/file-hashes-node.ts";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { openModelFolder } from "../../src/checkpoints/model-folder.ts";
import { readFolderConfig } from "../../src/checkpoints/model-folder-node.ts";
import { writeSafetensors } from "../../src/checkpoints/safetensors-node.ts";
import { readSentenceModules } from "../../src/checkpoints/sentence-modules.ts";
import { UserError } from "../../src/errors.ts";
import { parseJson } from "../../src/files/json.ts";
import { readJsonFile } from "../../src/files/json-file-node.ts";
import { float32 } from "../../src/graph/tensor.ts";

const bundled = fileURLToPath(new URL("../../assets/all-MiniLM-L6-v2", import.meta.url));
const config = { model_type: "bert", architectures: ["BertModel"], hidden_size: 4 };

let root: string;
let count = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "model-folder-"));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Creates a folder with these JSON (or raw text) files. */
function folder(files: Record<string, unknown>): string {
  const path = join(root, `model-${count++}`);
  mkdirSync(path);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(path, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return path;
}

const tensors = (entries: Record<string, number[]>) =>
  new Map(Object.entries(entries).map(([name, values]) => [name, float32([values.length], new Float32Array(values))]));

async function refusal(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return error.message;
}

test("the bundled encoder has all of BERT's weights, finite, in half precision", async () => {
  const { config, weights } = await openModelFolder(folderFiles(bundled));
  expect(config).toMatchObject({ model_type: "bert", architectures: ["BertModel"], hidden_size: 384 });
  let parameters = 0;
  for (const [name, { dtype, shape }] of weights.tensors) {
    const { data: values } = await weights.read(name);
    expect(dtype).toBe("F16");
    expect(values).toHaveLength(shape.reduce((product, size) => product * size, 1));
    if (!values.every(Number.isFinite)) expect.fail(`${name} is not finite`);
    parameters += values.length;
  }
  expect(parameters).toBe(22_713_216);
});

describe("shards", () => {
  const index = { weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" } };

  test("form one source", async () => {
    const path = folder({ "config.json": config, "model.safetensors.index.json": index });
    await writeSafetensors(join(path, index.weight_map.a), tensors({ a: [1, 2], unlisted: [5] }));
    await writeSafetensors(join(path, index.weight_map.b), tensors({ b: [3] }));
    const { weights } = await openModelFolder(folderFiles(path));
    expect([...weights.tensors.keys()]).toEqual(["a", "b"]);
    expect([...(await weights.read("a")).data, ...(await weights.read("b")).data]).toEqual([1, 2, 3]);
    for (const absent of ["unlisted", "toString"]) {
      await expect(weights.read(absent)).rejects.toThrow(new RegExp(`index\\.json has no tensor "${absent}"`));
    }
  });

  test.each(["../other.safetensors", "/etc/passwd", "..", "sub/model.safetensors", "..\\x", "C:x"])(
    "must not be outside the folder: %s",
    async (shard) => {
      const path = folder({ "config.json": config, "model.safetensors.index.json": { weight_map: { a: shard } } });
      expect(await refusal(openModelFolder(folderFiles(path)))).toContain(
        `names a shard "${shard}" outside its folder; refused`,
      );
    },
  );

  test("a missing shard, tensor or map is reported", async () => {
    const path = folder({ "config.json": config, "model.safetensors.index.json": index });
    await writeSafetensors(join(path, index.weight_map.a), tensors({ a: [1, 2] }));
    expect(await refusal(openModelFolder(folderFiles(path)))).toMatch(
      /cannot read .*model-00002-of-00002\.safetensors/,
    );
    await writeSafetensors(join(path, index.weight_map.b), tensors({ c: [1] }));
    expect(await refusal(openModelFolder(folderFiles(path)))).toMatch(
      /tensor "b" is in model-00002-.*but it is not there/,
    );
    const damaged = folder({ "config.json": config, "model.safetensors.index.json": { weight_map: ["a"] } });
    expect(await refusal(openModelFolder(folderFiles(damaged)))).toMatch(
      /index\.json is damaged: expected a "weight_map"/,
    );
  });
});

test("prefers safetensors to a pickle, which is read only if there is nothing else", async () => {
  const both = folder({ "config.json": config, "pytorch_model.bin": "no pickle" });
  expect(await refusal(openModelFolder(folderFiles(both)))).toMatch(/pytorch_model\.bin/);
  await writeSafetensors(join(both, "model.safetensors"), tensors({ a: [1] }));
  const { weights } = await openModelFolder(folderFiles(both));
  expect([...(await weights.read("a")).data]).toEqual([1]);
});

test("rejects a missing or incomplete folder", async () => {
  expect(await refusal(readFolderConfig(join(root, "nowhere")))).toMatch(/there is no model folder .*nowhere/);
  expect(await refusal(openModelFolder(folderFiles(folder({}))))).toMatch(/has no config\.json/);
  expect(await refusal(openModelFolder(folderFiles(folder({ "config.json": "{" }))))).toMatch(
    /config\.json is not valid JSON/,
  );
  expect(await refusal(openModelFolder(folderFiles(folder({ "config.json": [] }))))).toMatch(
    /config\.json is not a valid model config/,
  );
  expect(await refusal(openModelFolder(folderFiles(folder({ "config.json": {} }))))).toMatch(
    /config\.json .*model_type/,
  );
  expect(await refusal(openModelFolder(folderFiles(folder({ "config.json": config }))))).toMatch(
    /has no weights: expected one of model\.safetensors, .*pytorch_model\.bin/,
  );
});

test("reads only a config, from a folder or a file", async () => {
  const path = folder({ "config.json": config, "other.json": config });
  expect(await readFolderConfig(path)).toEqual(config);
  expect(await readFolderConfig(join(path, "other.json"))).toEqual(config);
});

describe("malformed files", () => {
  test.skipIf(process.platform === "win32")("rejects a pipe before opening it, which would block forever", async () => {
    const path = folder({});
    execFileSync("mkfifo", [join(path, "config.json"), join(path, "model.safetensors")]);
    expect(await refusal(folderFiles(path).open("config.json"))).toBe(`${join(path, "config.json")} is not a file`);
    expect(await refusal(readFolderConfig(path))).toMatch(/config.json is not a file/);
    expect(await refusal(readJsonFile(join(path, "config.json")))).toMatch(/config.json is not a file/);
  });

  test("reads JSON up to a limit", async () => {
    const path = folder({ "config.json": config });
    truncateSync(join(path, "config.json"), 3e9);
    const large = /config.json has 3000 MB, and a JSON file of a model, an adapter or a run has 268 at most/;
    expect(await refusal(readFolderConfig(path))).toMatch(large);
    expect(await refusal(readJsonFile(join(path, "config.json")))).toMatch(large);
  });

  test.each(["../elsewhere", "/etc", "a/../../b", "..\\x", "C:/x"])(
    "modules.json may not lead to %s",
    async (module) => {
      const modules = [{ path: module, type: "sentence_transformers.models.Pooling" }];
      expect(await refusal(readSentenceModules(folderFiles(folder({ "modules.json": modules }))))).toMatch(
        /modules.json names a module outside of its folder/,
      );
    },
  );
});

test("rejects deeply nested JSON before it is traversed", () => {
  const nested = (depth: number): string => `${'{"pretokenizers":['.repeat(depth)}0${"]}".repeat(depth)}`;
  expect(() => parseJson(nested(10), "tokenizer.json")).not.toThrow();
  expect(() => parseJson(nested(100_000), "tokenizer.json")).toThrow(
    /^tokenizer\.json has values nested more than 100 deep/,
  );
});

test("large files of equal samples and other sizes are told apart", async () => {
  const folder = join(root, "hashes");
  mkdirSync(folder);
  const file = join(folder, "model.safetensors");
  writeFileSync(file, "");
  const hash = async (size: number) => {
    // A hole: as many zeros as are asked for, without taking a place on the disk.
    truncateSync(file, size);
    const files = hashedFiles(folderFiles(folder));
    await files.open("model.safetensors");
    return files.hashes();
  };
  const recorded = await hash(300e6);
  expect(await hash(301e6)).not.toEqual(recorded);
  await expect(refuseOtherFiles(folderFiles(folder), recorded, "the run in runs/a")).rejects.toThrow(
    /model\.safetensors is not the base model that the run in runs\/a was trained on/,
  );
  truncateSync(file, 0);
});
