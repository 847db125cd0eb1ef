import * as onnxRuntime from "onnxruntime-node";
import { expect, test } from "vitest";
import { float32 } from "../../src/graph/tensor.ts";
import { CachedDecoder } from "../../src/inference/generation/cached-decoder.ts";
import { full } from "../../src/methods/full.ts";
import { cpu } from "../../src/runtime/devices/cpu.ts";
import type { OnnxRuntime } from "../../src/runtime/onnx-runtime.ts";
import { releaseOnFailure } from "../../src/runtime/release-on-failure.ts";
import { Runtime } from "../../src/runtime/session.ts";
import { embedding } from "../../src/tasks/kinds/embedding.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import { Evaluator } from "../../src/training/evaluation/evaluate.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { loadSeq2Seq } from "../support/seq2seq-fixture.ts";
import { layersOf, smallBert } from "../support/small-bert.ts";

/** An ONNX Runtime that creates a limited number of sessions, as if memory ran out, and counts the live ones. */
function endingAfter(most: number): { runtime: Runtime; live(): number } {
  let [made, live] = [0, 0];
  const create = async (...given: [Uint8Array, onnxRuntime.InferenceSession.SessionOptions]) => {
    if (made === most) throw new Error("no memory");
    const session = await onnxRuntime.InferenceSession.create(...given);
    [made, live] = [made + 1, live + 1];
    const release = session.release.bind(session);
    return Object.assign(session, {
      async release() {
        live--;
        await release();
      },
    });
  };
  const limited = { ...onnxRuntime, InferenceSession: { create } } as unknown as OnnxRuntime;
  return { runtime: new Runtime(limited, { device: cpu, threads: 1 }), live: () => live };
}

test("releases earlier sessions if a later one cannot be compiled", async () => {
  const base = { ...(await smallBert()), head: "pooled" as const, labelCount: 32 };
  const model = { ...base, adaptation: full.adapt({}, layersOf(base)), trainsHead: () => true };
  const objective = embedding.objectiveFor!({ loss: "multiple-negatives-ranking" });
  const settings = { objective, tokenBudget: 64, dropout: false, seed: 1, batchSize: 4 };
  const task = { kind: "embedding", labels: [], metrics: [], options: { loss: "multiple-negatives-ranking" } };
  const batch = Array.from({ length: 8 }, (_, index) => ({
    index,
    encoding: { inputIds: Int32Array.of(2, 10 + index, 3), tokenTypeIds: new Int32Array(3) },
    targets: float32([1, 32]),
    weights: Float32Array.of(1),
  }));
  const bart = await loadSeq2Seq("bart-1");
  const compiled = {
    // The step for a batch in one run; for one in several runs, a forward pass, the objective and the step.
    step: [
      4,
      async (runtime: Runtime) => {
        const coupled = { ...settings, objective: { ...crossEntropy, couples: "batch" as const }, tokenBudget: 4 };
        const step = await TrainingStep.compile(model, base.weights, runtime, coupled);
        await releaseOnFailure(step, () => step.run(0, batch));
        return step;
      },
    ],
    // A predictor and the objective.
    evaluator: [2, (runtime: Runtime) => Evaluator.compile(model, base.weights, runtime, task, settings)],
    // A decoder, its encoder, and the decoder's keys and values of a source text.
    writer: [3, (runtime: Runtime) => CachedDecoder.compile(bart.model, bart.weights, runtime)],
  } as const;
  for (const [name, [sessions, compile]] of Object.entries(compiled)) {
    for (let most = 0; most < sessions; most++) {
      const { runtime, live } = endingAfter(most);
      await expect(compile(runtime), `${name}, ${most}`).rejects.toThrow("no memory");
      expect(live(), `${name}, ${most}`).toBe(0);
    }
    const { runtime, live } = endingAfter(sessions);
    const whole = await compile(runtime);
    expect(live()).toBe(sessions);
    await whole.release();
    expect(live()).toBe(0);
  }
});
