import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { DownloadProgress } from "../../src/checkpoints/hub-download-node.ts";
import { resolveDataset, resolveModel } from "../../src/checkpoints/hub-node.ts";
import type { HubOptions } from "../../src/checkpoints/hub-repository-node.ts";
import { UserError } from "../../src/errors.ts";
import { COMMIT, LocalHub } from "../support/local-hub.ts";

const weights = randomBytes(300_000);
const sha256 = createHash("sha256").update(weights).digest("hex");
const tokenizer = { "tokenizer.json": "{}", "tokenizer_config.json": '{"a":1}' };
const files = { "config.json": '{"model_type":"bert"}', ...tokenizer, "model.safetensors": weights };
const large = ["model.safetensors"];

/** The sources as they were built, for processes of their own. */
const BUILT = new URL("../../dist/checkpoints/hub-node.js", import.meta.url).href;

let hub: LocalHub;
let cache: string;
let options: HubOptions;

beforeEach(async () => {
  for (const name of ["HF_TOKEN", "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"])
    vi.stubEnv(name, undefined);
  hub = new LocalHub();
  await hub.start();
  cache = await mkdtemp(join(tmpdir(), "aflora-hub-"));
  options = { endpoint: hub.endpoint, cache };
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.stop();
  await rm(cache, { recursive: true });
});

const blobs = (name: string) => readdir(join(cache, name, "blobs")).catch(() => []);
const downloads = () => hub.received.filter(({ path, host }) => host === "storage" || path.includes("/resolve/"));

describe("resolveModel", () => {
  it("returns a folder unchanged", async () => {
    expect(await resolveModel(cache, options)).toBe(cache);
    for (const name of ["./none", "../none", "/none/at all", "none"]) {
      await expect(resolveModel(name, options)).rejects.toThrow(/no such model folder/);
    }
    for (const name of ["none.gguf", "onnx/none.onnx"]) {
      await expect(resolveModel(name, options)).rejects.toThrow(`there is no file ${name}; check the path`);
    }
  });

  it("names the models that a name without an owner may mean, in the cache and on the hub", async () => {
    for (const name of ["owner/small", "other/Small", "owner/small-2"]) {
      hub.repositories.push({ kind: "model", name, files });
    }
    await resolveModel("other/Small", options);
    await expect(resolveModel("small", options)).rejects.toThrow(
      "no such model folder: small; did you mean other/Small or owner/small on the hub?",
    );
    await expect(resolveModel("small", { ...options, offline: true })).rejects.toThrow(
      "no such model folder: small; did you mean other/Small on the hub?",
    );
    await expect(resolveModel("./small", options)).rejects.toThrow("./small; give a folder");
    await expect(resolveModel("small", { ...options, endpoint: "http://127.0.0.1:9" })).rejects.toThrow("other/Small");
  });

  it("downloads an ONNX file and the preprocessing of a picture model", async () => {
    const own = { "config.json": "{}", "preprocessor_config.json": "{}", "onnx/model.onnx": "graph" };
    hub.repositories.push({ kind: "model", name: "owner/eye", files: { ...own, "model.safetensors": "no" } });
    const folder = await resolveModel("owner/eye", options);
    expect((await readdir(folder)).sort()).toEqual(["config.json", "onnx", "preprocessor_config.json"]);
  });

  it("downloads only needed files, into the layout of the Hugging Face cache, and only once", async () => {
    const unneeded = { "README.md": "no", "pytorch_model.bin": "no", "vocab.txt": "no", "onnx/model.onnx": "no" };
    hub.repositories.push({ kind: "model", name: "owner/model", files: { ...files, ...unneeded }, large });
    const progress: DownloadProgress[] = [];
    const folder = await resolveModel("owner/model", { ...options, onProgress: (each) => progress.push(each) });

    expect(folder).toBe(join(cache, "models--owner--model", "snapshots", COMMIT));
    expect((await readdir(folder)).sort()).toEqual(Object.keys(files).sort());
    expect(weights.equals(await readFile(join(folder, "model.safetensors")))).toBe(true);
    // Few users of Windows can create links; the others get copies.
    if (process.platform !== "win32") {
      expect(await readlink(join(folder, "model.safetensors"))).toBe(join("..", "..", "blobs", sha256));
    }
    expect(await readFile(join(cache, "models--owner--model", "refs", "main"), "utf8")).toBe(COMMIT);
    const total = Object.values(files).reduce((sum, content) => sum + content.length, 0);
    expect(progress.at(-1)).toMatchObject({ file: "model.safetensors", done: total, total });
    expect(progress.every(({ done }, i) => done > (progress[i - 1]?.done ?? 0))).toBe(true);

    const before = downloads().length;
    expect(await resolveModel(`owner/model@${COMMIT}`, options)).toBe(folder);
    expect(downloads().length).toBe(before);
    expect(await resolveModel("owner/model", { ...options, offline: true })).toBe(folder);
  });

  it("downloads each file once for loads at the same time", async () => {
    hub.repositories.push({ kind: "model", name: "owner/model", files, large });
    const folders = await Promise.all(Array.from({ length: 4 }, () => resolveModel("owner/model", options)));
    expect(new Set(folders).size).toBe(1);
    expect(await readFile(join(folders[0]!, "model.safetensors"))).toEqual(weights);
    expect(hub.received.filter(({ host }) => host === "storage")).toHaveLength(1);
    expect((await blobs("models--owner--model")).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  });

  it("downloads an ONNX file with its external data if there are no other weights", async () => {
    const { "model.safetensors": _, ...others } = files;
    const parts = { "onnx/model.onnx": "graph", "onnx/model.onnx_data": "a", "onnx/model.onnx_data_1": "b" };
    const unneeded = { "onnx/model_q4.onnx": "no", "onnx/model_quantized.onnx": "no" };
    hub.repositories.push({ kind: "model", name: "owner/onnx", files: { ...others, ...parts, ...unneeded } });
    const folder = await resolveModel("owner/onnx", options);
    expect((await readdir(join(folder, "onnx"))).sort()).toEqual([
      "model.onnx",
      "model.onnx_data",
      "model.onnx_data_1",
    ]);
  });

  it("takes the cache, the endpoint and the token from the environment", async () => {
    hub.repositories.push({ kind: "model", name: "owner/gated", files, large, token: "hf_secret", gated: true });
    vi.stubEnv("HF_HOME", cache);
    vi.stubEnv("HF_ENDPOINT", `${hub.endpoint}/`);
    vi.stubEnv("HF_TOKEN", "hf_secret");
    expect(await resolveModel("owner/gated")).toBe(join(cache, "hub", "models--owner--gated", "snapshots", COMMIT));
    // The token goes only to the hub, not to the target of a redirect.
    const sent = hub.received.map(({ host, headers }) => [host, headers.authorization]);
    expect(sent.filter(([host]) => host === "storage")).toEqual([["storage", undefined]]);
    expect(new Set(sent.filter(([host]) => host === "hub").map(([, token]) => token))).toEqual(
      new Set(["Bearer hf_secret"]),
    );
    for (const entry of await readdir(cache, { recursive: true, withFileTypes: true })) {
      if (entry.isFile())
        expect(await readFile(join(entry.parentPath, entry.name), "latin1")).not.toContain("hf_secret");
    }
  });

  it("downloads shards by their index, and older files if there are no newer ones", async () => {
    const index = (names: string[]) =>
      JSON.stringify({ weight_map: Object.fromEntries(names.map((name) => [name, name])) });
    const common = { "config.json": "{}", "vocab.txt": "hi" };
    const shards = { "a.bin": "one", "b.bin": "two", "c.bin": "unused" };
    const sharded = { ...common, ...shards, "pytorch_model.bin.index.json": index(["a.bin", "b.bin"]) };
    hub.repositories.push({ kind: "model", name: "owner/sharded", files: sharded });
    const folder = await resolveModel("owner/sharded", options);
    const names = ["a.bin", "b.bin", "config.json", "pytorch_model.bin.index.json", "vocab.txt"];
    expect((await readdir(folder)).sort()).toEqual(names);
    expect(await resolveModel("owner/sharded", { ...options, offline: true })).toBe(folder);

    const climbing = { ...common, "model.safetensors.index.json": index(["../../x"]), "../../x": "out" };
    hub.repositories.push({ kind: "model", name: "owner/climbing", files: climbing });
    await expect(resolveModel("owner/climbing", options)).rejects.toThrow(/whose name is not safe/);
    const lacking = { ...common, "model.safetensors.index.json": index(["a.bin"]) };
    hub.repositories.push({ kind: "model", name: "owner/lacking", files: lacking });
    await expect(resolveModel("owner/lacking", options)).rejects.toThrow(/lacks a\.bin/);
  });

  it("resumes a dropped download, within a run and in the next", async () => {
    hub.repositories.push({ kind: "model", name: "owner/model", files, large });
    hub.breakOff = [100_000];
    const ranges = () => hub.received.filter(({ host }) => host === "storage").map(({ headers }) => headers.range);
    await resolveModel("owner/model", { ...options, onProgress: () => ranges().length === 1 && hub.drop() });
    expect(ranges()[0]).toBeUndefined();
    expect(ranges()).toHaveLength(2);
    expect(ranges()[1]).toMatch(/^bytes=[1-9]\d*-$/);

    const blob = join(cache, "models--owner--model", "blobs", sha256);
    await rm(blob);
    await writeFile(`${blob}.incomplete`, weights.subarray(0, 123_456));
    await resolveModel("owner/model", options);
    expect(ranges()[2]).toBe("bytes=123456-");
    expect(weights.equals(await readFile(blob))).toBe(true);

    // A server without range support sends the whole file again.
    await rm(blob);
    await writeFile(`${blob}.incomplete`, weights.subarray(0, 5));
    hub.ignoreRanges = true;
    await resolveModel("owner/model", options);
    expect(weights.equals(await readFile(blob))).toBe(true);
  });

  it("waits for another process that downloads the same file, and continues it if that process is killed", async () => {
    hub.repositories.push({ kind: "model", name: "owner/model", files, large });
    hub.breakOff = [100_000];
    const stored = () => hub.received.filter(({ host }) => host === "storage").map(({ headers }) => headers.range);
    const part = join(cache, "models--owner--model", "blobs", `${sha256}.incomplete`);
    const script = `import { resolveModel } from ${JSON.stringify(BUILT)};
      await resolveModel("owner/model", ${JSON.stringify(options)});`;
    const first = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "inherit" });
    await expect.poll(async () => (await stat(part).catch(() => undefined))?.size).toBe(100_000);
    const told: number[] = [];
    const second = resolveModel("owner/model", { ...options, onProgress: ({ done }) => told.push(done) });
    await expect.poll(() => told.length).toBeGreaterThan(2);
    expect(stored()).toEqual([undefined]);
    first.kill("SIGKILL");
    expect(await readFile(join(await second, "model.safetensors"))).toEqual(weights);
    expect(stored()).toEqual([undefined, "bytes=100000-"]);
  });

  it("takes a file that another tool has downloaded meanwhile", async () => {
    hub.repositories.push({ kind: "model", name: "owner/model", files, large });
    hub.breakOff = [100_000];
    const blob = join(cache, "models--owner--model", "blobs", sha256);
    const folder = await resolveModel("owner/model", {
      ...options,
      onProgress({ file }) {
        if (file !== "model.safetensors") return;
        writeFileSync(blob, weights);
        hub.drop();
      },
    });
    expect(await readFile(join(folder, "model.safetensors"))).toEqual(weights);
    expect(hub.received.filter(({ host }) => host === "storage")).toHaveLength(1);
    expect((await blobs("models--owner--model")).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  });

  it("stops at once with the reason of an abort, and keeps the received part", async () => {
    hub.repositories.push({ kind: "model", name: "owner/model", files, large });
    hub.breakOff = [100_000];
    const controller = new AbortController();
    const reason = new Error("stopped by the user");
    const onProgress = ({ file }: DownloadProgress): void => {
      if (file === "model.safetensors") controller.abort(reason);
    };
    const stopped = resolveModel("owner/model", { ...options, onProgress, signal: controller.signal });
    await expect(stopped).rejects.toBe(reason);
    expect(hub.received.filter(({ host }) => host === "storage")).toHaveLength(1);
    expect(await blobs("models--owner--model")).toContain(`${sha256}.incomplete`);
  });

  it.skipIf(!existsSync("/dev/full"))("reports a full disk at once, and not a broken connection", async () => {
    hub.repositories.push({ kind: "model", name: "owner/model", files, large });
    const folder = join(cache, "models--owner--model", "blobs");
    await mkdir(folder, { recursive: true });
    await symlink("/dev/full", join(folder, `${sha256}.incomplete`));
    const error = await resolveModel("owner/model", options).catch((each) => each);
    expect(error.message).toMatch(/^cannot write .*\.incomplete: the disk is full; free some space/);
    expect(error.code).toBe("cannot-write");
    expect(hub.received.filter(({ host }) => host === "storage")).toHaveLength(1);
  });

  it("gives up if a connection keeps dropping, and keeps the received part", async () => {
    hub.repositories.push({ kind: "model", name: "owner/model", files, large });
    hub.breakOff = [50_000, 0, 0, 0, 0, 0];
    await expect(resolveModel("owner/model", { ...options, onProgress: () => hub.drop() })).rejects.toThrow(
      /broke off after [1-9]\d* of 300000 bytes.*run the same command again/,
    );
    expect(await blobs("models--owner--model")).toContain(`${sha256}.incomplete`);
    hub.breakOff = [];
    await resolveModel("owner/model", options);
    expect(weights.equals(await readFile(join(cache, "models--owner--model", "blobs", sha256)))).toBe(true);
  });

  it.each([
    ["too long", "model.safetensors", Buffer.concat([weights, weights]), /has 600000 bytes, but 300000 on the hub/],
    ["too short", "model.safetensors", weights.subarray(0, 1000), /has 1000 bytes, but 300000 on the hub/],
    ["changed", "model.safetensors", Buffer.from(weights).fill(0, 7, 9), /hash differs from the one on the hub/],
    ["changed", "config.json", Buffer.from('{"model_type":"tree"}'), /hash differs from the one on the hub/],
  ])("rejects a file that is %s (%s) and does not keep it", async (_, file, content, message) => {
    hub.repositories.push({ kind: "model", name: "owner/model", files, large });
    hub.replaced.set(file, content);
    await expect(resolveModel("owner/model", options)).rejects.toThrow(message);
    expect((await blobs("models--owner--model")).filter((name) => name.includes("incomplete"))).toEqual([]);
    expect(await blobs("models--owner--model")).toHaveLength(file === "config.json" ? 0 : 3);
    await expect(readdir(join(cache, "models--owner--model", "snapshots"))).rejects.toThrow();

    hub.replaced.clear();
    await resolveModel("owner/model", options);
  });

  it("explains refusals of the hub", async () => {
    hub.repositories.push(
      { kind: "model", name: "owner/gated", files, large, token: "hf_right", gated: true },
      { kind: "model", name: "owner/private", files, large, token: "hf_right" },
      { kind: "model", name: "owner/model", files, large, revisions: ["v1/rc"] },
      { kind: "model", name: "owner/empty", files: { "README.md": "" } },
      { kind: "model", name: "owner/weightless", files: { "config.json": "{}", ...tokenizer } },
      { kind: "model", name: "owner/tokenless", files: { "config.json": "{}", "pytorch_model.bin": "" } },
    );
    const refused = async (name: string, message: RegExp, more: HubOptions = {}) => {
      const error = await resolveModel(name, { ...options, ...more }).catch((each) => each);
      expect(error).toBeInstanceOf(UserError);
      expect(error.message).toMatch(message);
      expect(error.message).not.toMatch(/hf_(right|wrong)/);
    };
    await refused("owner/gated", /owner\/gated is gated: accept its terms at .*\/owner\/gated, then set HF_TOKEN/);
    await refused("owner/gated", /with the account of HF_TOKEN/, { token: "hf_wrong" });
    await refused("owner/private", /that is public; check its name; if it is private.*HF_TOKEN/);
    await refused("owner/private", /the token in HF_TOKEN is valid/, { token: "hf_wrong" });
    await refused("owner/misspelt", /there is no model owner\/misspelt/);
    await refused("owner/misspelt", /there is no model owner\/misspelt at .*; check its name$/, { token: "hf_right" });
    await refused("owner/model@v2", /has no revision "v2"/);
    await refused("owner/model@../v2", /is not a revision/);
    await refused("owner/model", /is not a hub token, which begins with hf_/, { token: "wrong" });
    await refused("owner/empty", /no config\.json/);
    await refused("owner/weightless", /no weights; expected one of model\.safetensors/);
    await refused("owner/tokenless", /no tokenizer/);
    const gone = new LocalHub();
    await gone.start();
    const { endpoint } = gone;
    await gone.stop();
    await refused("owner/model", /cannot reach .*ECONNREFUSED.*option "offline"/, {
      endpoint,
    });
    expect(await resolveModel("owner/model@v1/rc", options)).toContain(COMMIT);
    expect(await readFile(join(cache, "models--owner--model", "refs", "v1", "rc"), "utf8")).toBe(COMMIT);
  });

  it("reports what is missing offline", async () => {
    const offline = { cache, offline: true };
    await expect(resolveModel("owner/model", offline)).rejects.toThrow(
      /owner\/model \(revision main\) is not in the cache .*option "offline"/,
    );
    hub.repositories.push({ kind: "model", name: "owner/model", files, large });
    const folder = await resolveModel("owner/model", options);
    await rm(join(folder, "model.safetensors"));
    await expect(resolveModel("owner/model", offline)).rejects.toThrow(/as far as it is in the cache.*has no weights/);
  });
});

describe("resolveDataset", () => {
  const glue = {
    "README.md": "",
    "cola/train-00000-of-00002.parquet": "a",
    "cola/train-00001-of-00002.parquet": "b",
    "cola/validation-00000-of-00001.parquet": "c",
    "cola/test-00000-of-00001.parquet": "d",
    "rte/train-00000-of-00001.parquet": "e",
  };
  const labelled = (split: string) => split !== "test";

  it("downloads one configuration's splits", async () => {
    hub.repositories.push({ kind: "dataset", name: "owner/glue", files: glue });
    const { name, splits } = await resolveDataset("owner/glue", "cola", labelled, options);
    expect(name).toBe("owner/glue (cola)");
    expect([...splits.keys()]).toEqual(["train", "validation"]);
    expect(await Promise.all(splits.get("train")!.map((path) => readFile(path, "utf8")))).toEqual(["a", "b"]);
    expect(await blobs("datasets--owner--glue")).toHaveLength(3);
    expect((await resolveDataset("owner/glue", "cola", labelled, { cache, offline: true })).splits).toEqual(splits);
  });

  it("finds files by the hub's naming conventions, or else its own conversion", async () => {
    hub.repositories.push({
      kind: "dataset",
      name: "owner/plain",
      files: { "data/train-00000-of-00001-ab12.parquet": "a", "data/dev.parquet": "b" },
    });
    expect([...(await resolveDataset("owner/plain", undefined, labelled, options)).splits.keys()]).toEqual([
      "dev",
      "train",
    ]);
    hub.repositories.push({
      kind: "dataset",
      name: "owner/csv",
      files: { "train.csv": "" },
      revisions: ["refs/convert/parquet"],
    });
    await expect(resolveDataset("owner/csv", undefined, labelled, options)).rejects.toThrow(/no Parquet files/);
    expect(hub.received.some(({ path }) => path.endsWith("refs/convert/parquet"))).toBe(true);
  });

  it("lists the configurations", async () => {
    hub.repositories.push({ kind: "dataset", name: "owner/glue", files: glue });
    await expect(resolveDataset("owner/glue", undefined, labelled, options)).rejects.toThrow(/choose one of cola, rte/);
    await expect(resolveDataset("owner/glue", "colo", labelled, options)).rejects.toThrow(/did you mean "cola"/);
    await expect(resolveDataset("glue", undefined, labelled, options)).rejects.toThrow(/is not the name of a data set/);
    await expect(resolveDataset("owner/none", undefined, labelled, options)).rejects.toThrow(/no data set owner\/none/);
  });
});
