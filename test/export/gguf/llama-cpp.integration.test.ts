import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Adapter, readAdapter } from "../../../src/base-models/adapter.ts";
import type { BaseModel } from "../../../src/base-models/base-model.ts";
import { loadBaseModel } from "../../../src/base-models/load-base-model-node.ts";
import { folderFiles } from "../../../src/checkpoints/file-source-node.ts";
import { exportAdapter } from "../../../src/export/export-adapter-node.ts";
import { FineTunedModel } from "../../../src/inference/fine-tuned-model.ts";
import { nodeRuntime } from "../../../src/runtime/runtime-node.ts";

const FIXTURES = fileURLToPath(new URL("../../fixtures/gguf/", import.meta.url));
const SCRIPT = fileURLToPath(new URL("../../../oracle/llama_cpp.mjs", import.meta.url));
/** SmolLM2-135M-Instruct.Q4_1.gguf. */
const SMOLLM2 = process.env.AFLORA_SMOLLM2_GGUF ?? "";
/** Folder where the npm package node-llama-cpp is installed. */
const LLAMA_CPP = process.env.AFLORA_NODE_LLAMA_CPP ?? "";
const runtime = nodeRuntime();

/** What llama.cpp wrote greedily after 20 questions, on the base model and with the adapter in `teams/`, in ids. */
const {
  questions,
  tokens,
  base: onBase,
  adapted,
} = JSON.parse(readFileSync(`${FIXTURES}llama-cpp.json`, "utf8")) as {
  questions: string[];
  tokens: number;
  base: number[][];
  adapted: number[][];
};

describe.skipIf(!existsSync(SMOLLM2))("an adapter for SmolLM2-135M-Instruct at AFLORA_SMOLLM2_GGUF", () => {
  let base: BaseModel;
  let adapter: Adapter;
  let prompts: number[][];
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "llama-cpp-"));
    adapter = await readAdapter(folderFiles(`${FIXTURES}teams`));
    base = await loadBaseModel(SMOLLM2, adapter.description.task, 0);
    const { tokenizer } = base;
    prompts = questions.map((content) =>
      tokenizer.idsOf(tokenizer.chatTemplate!.render([{ role: "user", content }], { addGenerationPrompt: true })),
    );
    await exportAdapter(base, adapter, { format: "gguf", output: join(folder, "gguf") }, runtime, [
      { index: 0, text: questions[0]!, textPair: "This goes to billing." },
    ]);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("answers as llama.cpp did with it in GGUF, in most cases to the token", async () => {
    const model = await FineTunedModel.adapt(base, adapter, runtime);
    const answers = await model.answers(questions, { maxNewTokens: tokens });
    await model.release();
    const textOf = (ids: readonly number[]) => base.tokenizer.decode(ids, { skipSpecialTokens: true });
    const same = answers.filter(({ text }, i) => text === textOf(adapted[i]!)).length;
    console.log(`${same} of ${questions.length} answers are llama.cpp's to the token`);
    expect(same).toBeGreaterThanOrEqual(16);
    expect(answers.filter(({ text }, i) => text === textOf(onBase[i]!))).toEqual([]);
  });

  it.skipIf(LLAMA_CPP === "")(
    "is run by llama.cpp, at AFLORA_NODE_LLAMA_CPP, as the fixture says",
    () => {
      const ask = (...more: string[]): number[][] => {
        const input = JSON.stringify({ prompts, tokens });
        return JSON.parse(
          execFileSync(process.execPath, [SCRIPT, LLAMA_CPP, SMOLLM2, ...more], { input, encoding: "utf8" }),
        );
      };
      expect(ask()).toEqual(onBase);
      expect(ask(join(folder, "gguf", "adapter.gguf"))).toEqual(adapted);
    },
    300_000,
  );
});
