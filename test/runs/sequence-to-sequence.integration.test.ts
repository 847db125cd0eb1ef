import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, pipeline } from "@huggingface/transformers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { runtime } from "../support/runtime.ts";
import { rewritings, writeTinyEncoderDecoder } from "../support/synthetic-rewriting.ts";
import { writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";

const HELD_OUT = 24;

/** What each family learns: all three ways of rewriting, or the one that a prefix asks for, which takes T5 longer: it knows no places. */
const LESSONS = {
  bart: { rows: rewritings(2400 + HELD_OUT, 1), epochs: 3, learningRate: 2e-3, exactMatch: 0.9, lead3: [0.3, 0.9] },
  t5: {
    rows: rewritings(3 * (1600 + HELD_OUT), 1, 3)
      .filter(({ document }) => document.startsWith("shout "))
      .map(({ document, summary }) => ({ document: document.replace("shout ", ""), summary })),
    epochs: 5,
    learningRate: 4e-3,
    prefix: "shout ",
    exactMatch: 0.8,
    // Capitals are nothing to ROUGE: the texts themselves score all that there is.
    lead3: [1, 1],
  },
} as const;

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-rewriting-"));
  env.allowRemoteModels = false;
  env.localModelPath = home;
});
afterAll(() => rm(home, { recursive: true }));

describe.each(["bart", "t5"] as const)("a small %s from its random start", (family) => {
  const { rows, exactMatch, lead3, ...settings } = LESSONS[family];
  const held = rows.slice(0, HELD_OUT);
  const run = () => join(home, `${family}-run`);

  beforeAll(async () => {
    await fineTune({
      model: await writeTinyEncoderDecoder(join(home, family), family),
      train: await writeJsonl(join(home, `${family}.jsonl`), rows.slice(HELD_OUT)),
      validation: await writeJsonl(join(home, `${family}-held.jsonl`), held),
      method: "full",
      weightDecay: 0.01,
      maxGradNorm: 1,
      batchSize: 32,
      tokenBudget: 1024,
      threads: 1,
      output: run(),
      ...settings,
    });
  });

  test("rewrites unseen texts: greedily and with beams", async () => {
    const taught = new Set(rows.slice(HELD_OUT).map(({ document }) => document));
    expect(held.filter(({ document }) => !taught.has(document)).length).toBeGreaterThan(HELD_OUT / 10);
    for (const numBeams of [1, 4]) {
      const [evaluation] = await evaluateRun(run(), { threads: 1, generate: HELD_OUT, answers: { numBeams } });
      expect(evaluation!.metrics.exact_match).toBeGreaterThanOrEqual(exactMatch);
      expect(evaluation!.metrics.rougeLsum).toBeGreaterThan(exactMatch);
      expect(evaluation!.metrics.lead3_rougeLsum).toBeGreaterThanOrEqual(lead3[0]);
      expect(evaluation!.metrics.lead3_rougeLsum).toBeLessThanOrEqual(lead3[1]);
    }
  });

  test("writes the same texts in Transformers.js", async () => {
    const report = await exportRun(
      run(),
      { format: "onnx", output: join(home, `${family}-onnx`), dtype: "q8" },
      { threads: 1 },
    );
    expect(report.largestDifference).toBeLessThan(1e-4);
    const texts = held.map(({ document }) => document);
    const own = await loadFineTunedModel(run(), runtime);
    const expected = (await own.answers(texts)).map(({ text }) => text);
    // However a text is asked: as servers ask, too.
    const [content] = texts as [string];
    const asked = await own.answers([{ verbatim: content }, [{ role: "user", content }]]);
    expect(asked.map(({ text }) => text)).toEqual([expected[0], expected[0]]);
    const turns = ["user", "assistant", "user"].map((role) => ({ role, content }));
    await expect(own.answers([turns])).rejects.toThrow(/does not read earlier turns/);
    await own.release();
    for (const dtype of ["fp32", "q8"] as const) {
      const summarise = await pipeline("summarization", `${family}-onnx`, { dtype });
      const found: string[] = [];
      for (const text of texts) {
        // One by one: of several texts it writes on behind an answer's end until all have ended.
        const [{ summary_text: written }] = (await summarise(text, { max_new_tokens: 20 })) as [
          { summary_text: string },
        ];
        found.push(written);
      }
      const same = found.filter((written, i) => written === expected[i]).length;
      // Rounding to bytes may turn a word.
      expect(same, dtype).toBeGreaterThanOrEqual(dtype === "fp32" ? HELD_OUT : 0.9 * HELD_OUT);
      await summarise.dispose();
    }
  });
});

test("an incompatible kind of task and model are refused in a sentence", async () => {
  const train = await writeJsonl(join(home, "few.jsonl"), rewritings(12, 1));
  const decoder = await writeTinyLanguageModel(join(home, "decoder"));
  const given = { train, method: "lora", rank: 2, epochs: 1, threads: 1, output: join(home, "refused") };
  await expect(fineTune({ ...given, model: decoder })).rejects.toThrow(
    new UserError(
      'task kind "sequence-to-sequence" is for encoder-decoders, and models of type "llama" are decoders; take another model, or option "kind" language-model or reward-learning',
    ),
  );
  const bart = await writeTinyEncoderDecoder(join(home, "refusing"), "bart");
  await expect(fineTune({ ...given, model: bart, kind: "language-model" })).rejects.toThrow(
    new UserError(
      'task kind "language-model" is for decoders, and models of type "bart" are encoder-decoders; take another model, or option "kind" sequence-to-sequence',
    ),
  );
  const scored = await writeJsonl(
    join(home, "scored.jsonl"),
    Array.from({ length: 12 }, (_, i) => ({ text: "ant", label: i / 8 })),
  );
  await expect(fineTune({ ...given, model: bart, train: scored })).rejects.toThrow(
    new UserError(
      'task kind "regression" needs a model that labels texts, which models of type "bart" cannot do; choose another model with option "model"',
    ),
  );
});
