import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { openAdapter } from "../../src/base-models/open-adapter-node.ts";
import { AdapterHost } from "../../src/inference/adapter-host.ts";
import type { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import { type OpenAiServer, serveModels } from "../../src/serving/openai-server.ts";
import { fineTune } from "../support/fine-tune.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeTinyModel } from "../support/tiny-model.ts";

const LIMITS = { port: 0, maxNewTokens: 40, maxWaiting: 3, maxBodyBytes: 250_000 };

let home: string;
let host: AdapterHost;
let search: FineTunedModel;
let reranker: FineTunedModel;
let server: OpenAiServer;
let client: OpenAI;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-serving-search-"));
  const model = await writeTinyModel(join(home, "encoder"));
  const messages = tickets(1).map(({ message }) => message);
  const rows = {
    search: messages.map((anchor) => ({ anchor, positive: anchor.split(" ").reverse().join(" ") })),
    reranker: messages.map((query, i) => ({ query, passage: messages[(i * 7) % messages.length], label: i % 2 })),
  };
  host = new AdapterHost(await loadBaseModel(model), runtime);
  for (const [name, of] of Object.entries(rows)) {
    const train = join(home, `${name}.jsonl`);
    await writeFile(train, of.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const output = join(home, name);
    await fineTune({ model, train, method: "lora", epochs: 1, batchSize: 8, maxLength: 16, threads: 1, output });
    await host.add(name, await openAdapter(output));
  }
  [search, reranker] = [host.use("search"), host.use("reranker")];
  server = await serveModels(new Map(host.names.map((name) => [name, host.use(name)])), LIMITS);
  client = new OpenAI({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
});
afterAll(async () => {
  await server.close();
  await host.release();
  await rm(home, { recursive: true });
});

const TEXTS = ["my card was charged twice", "the app does not open", "late"];

describe("OpenAI's own client", () => {
  const asked = async (options: object) =>
    client.embeddings.create({ model: "search", input: TEXTS, ...options } as OpenAI.EmbeddingCreateParams);

  test("gets the vectors that the library gives, as bytes and as numbers", async () => {
    const expected = (await search.embed(TEXTS)).map((vector) => Array.from(vector));
    // It asks for bytes where nobody says otherwise.
    for (const options of [{}, { encoding_format: "float" }, { encoding_format: "base64" }]) {
      const { data, usage, model } = await asked(options);
      const found = data.map(({ embedding }) =>
        typeof embedding === "string" ? bytesOf(embedding) : Array.from(embedding, Math.fround),
      );
      expect(found).toEqual(expected);
      expect(data.map(({ index }) => index)).toEqual([0, 1, 2]);
      expect(model).toBe("search");
      const tokens = TEXTS.reduce((sum, text) => sum + search.tokenIds(text).length, 0);
      expect(usage).toEqual({ prompt_tokens: tokens, total_tokens: tokens });
    }
  });

  test("may send one text, or tokens instead", async () => {
    const ids = TEXTS.map((text) => search.tokenIds(text));
    const vectorsOf = async (input: unknown): Promise<number[][]> =>
      (await asked({ input })).data.map(({ embedding }) => embedding);
    const whole = await vectorsOf(TEXTS);
    expect(await vectorsOf(ids)).toEqual(whole);
    for (const input of [TEXTS[1], ids[1]]) {
      const [vector, ...others] = await vectorsOf(input);
      expect(others).toEqual([]);
      // By itself a text is computed in another order of sums.
      expect(Math.max(...vector!.map((value, i) => Math.abs(value - whole[1]![i]!)))).toBeLessThan(1e-6);
    }
  });

  test("can shorten vectors, with length 1", async () => {
    const { data } = await asked({ dimensions: 8 });
    for (const { embedding } of data) {
      expect(embedding).toHaveLength(8);
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
    }
  });

  test.each([
    ["a reranker", { model: "reranker" }, 400, /"reranker" ranks passages \(reranker\); ask \/v1\/rerank/],
    ["more dimensions than there are", { dimensions: 33 }, 400, /has 32 dimensions, which cannot be cut to 33/],
    ["no texts", { input: [] }, 400, /^400 input: .*empty/],
    ["an empty text", { input: ["late", ""] }, 400, /^400 input(\.1)?: .*empty/],
    ["too many texts", { input: Array(2049).fill("late") }, 400, /^400 input: .*2048 texts/],
    ["what is no text", { input: { text: "late" } }, 400, /^400 input: it must be a text, a list/],
    ["ids of another tokenizer", { input: [2, 99_999, 3] }, 400, /99999 is not a token id: .* from 0 to \d+/],
    ["too many ids", { input: Array(17).fill(5) }, 400, /from 1 to 16 tokens, not 17/],
    ["a format that is not known", { encoding_format: "int8" }, 400, /encoding_format: it must be "float" or "base64"/],
    ["a text that is too long", { input: ["late", "x".repeat(200_001)] }, 400, /at most 200000 characters/],
    ["a body that is too large", { input: "x".repeat(300_000) }, 413, /at most 250000 bytes/],
  ])("is told in a sentence of %s", async (_, options, status, message) => {
    await expect(asked(options)).rejects.toMatchObject({ status, message: expect.stringMatching(message) });
  });
});

function bytesOf(text: string): number[] {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  return Array.from(new Float32Array(bytes.buffer));
}

async function rerank(options: object): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${server.url}/rerank`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "reranker", query: "my card was charged", documents: TEXTS, ...options }),
  });
  return { status: response.status, body: await response.json() };
}

test("documents are ranked as by the library", async () => {
  const expected = await reranker.rerank("my card was charged", TEXTS);
  const results = expected.map(({ index, logit, sigmoid }) => ({ index, relevance_score: sigmoid, logit }));
  expect(await rerank({})).toMatchObject({
    status: 200,
    body: { id: expect.stringMatching(/^rerank-/), model: "reranker", results },
  });
  const documents = TEXTS.map((text) => ({ text }));
  const { body } = await rerank({ documents, top_n: 2, return_documents: true });
  const two = results.slice(0, 2).map((result) => ({ ...result, document: { text: TEXTS[result.index] } }));
  expect((body as { results: unknown }).results).toEqual(two);
});

test.each([
  ["a model that embeds", { model: "search" }, /"search" embeds texts \(embedding\); ask \/v1\/embeddings/],
  ["no documents", { documents: [] }, /documents: it must not be empty/],
  ["too many documents", { documents: Array(1025).fill("late") }, /documents: a request has at most 1024 documents/],
  ["no query", { query: undefined }, /query: it is missing/],
  ["a number that is none", { top_n: 0 }, /top_n: it must be above 0, not 0/],
])("a reranking is refused in a sentence: %s", async (_, options, message) => {
  const { status, body } = await rerank(options);
  expect(status).toBe(400);
  expect(body).toMatchObject({ error: { type: "invalid_request_error", message: expect.stringMatching(message) } });
});

test("a model that does not classify refuses to", async () => {
  const request = client.post("/classify", { body: { model: "search", input: "late" } });
  await expect(request).rejects.toMatchObject({ status: 400, message: expect.stringContaining("ask /v1/embeddings") });
});
