import { describe, expect, test } from "vitest";
import { BASE_FORMATS, type BaseFormat } from "../../src/architectures/base-format.ts";
import { UserError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { add } from "../../src/graph/ops.ts";
import { float32, type Tensor } from "../../src/graph/tensor.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import type { DeviceName } from "../../src/runtime/device.ts";
import { deviceNote, findDevices } from "../../src/runtime/devices-node.ts";
import { availableDevices, nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import { type StepOutcome, TrainingStep } from "../../src/training/step.ts";
import { cosine, quantizedOf } from "../support/quantized.ts";
import { type Base, batches, layersOf, smallBert } from "../support/small-bert.ts";

/** One AFLoRA step with dropout, with all parameters away from zero. */
async function stepOn(device: DeviceName, base: Base, format: BaseFormat): Promise<StepOutcome> {
  const adaptation = aflora.adapt(aflora.options.parse({}), layersOf(base));
  const away = adaptation.parameters.map(({ name, shape }) => [name, normal(0.3)(shape, randomFor(3, name))] as const);
  const weights = new Map<string, Tensor>([...base.weights, ...quantizedOf(base, base.weights, format), ...away]);
  const model = { ...base, adaptation, format, trainsHead: (name: string) => name.startsWith("classifier") };
  const settings = { objective: crossEntropy, tokenBudget: 64, dropout: true, seed: 1 } as const;
  const step = await TrainingStep.compile(model, weights, nodeRuntime({ device, threads: 1 }), settings);
  const examples = batches[0]!.map(({ inputIds, tokenTypeIds, label }, index) => {
    const targets = float32([1, base.labelCount]);
    targets.data[label] = 1;
    const encoding = { inputIds: Int32Array.from(inputIds), tokenTypeIds: Int32Array.from(tokenTypeIds) };
    return { index, encoding, targets, weights: Float32Array.of(1) };
  });
  try {
    return await step.run(0, examples);
  } finally {
    await step.release();
  }
}

describe("devices", () => {
  test.for(BASE_FORMATS)("webgpu gives the CPU's loss and gradients, %s", async (format, context) => {
    const base = await smallBert();
    const expected = await stepOn("cpu", base, format);
    let found: StepOutcome;
    try {
      found = await stepOn("webgpu", base, format);
    } catch (error) {
      // Only a missing device is accepted; an error about anything else is a failure.
      if (error instanceof UserError && /^device "webgpu" cannot be used/.test(error.message))
        context.skip(error.message);
      throw error;
    }
    expect(Math.abs(found.loss / expected.loss - 1)).toBeLessThan(1e-3);
    expect([...found.gradients.keys()]).toEqual([...expected.gradients.keys()]);
    for (const [name, { data: gradient }] of expected.gradients) {
      // A number between two steps may be rounded differently on each device.
      if (format !== "float32") {
        expect(cosine(found.gradients.get(name)!, { data: gradient }), name).toBeGreaterThan(0.999);
        continue;
      }
      const scale = Math.max(...gradient.map(Math.abs));
      const worst = Math.max(...gradient.map((value, i) => Math.abs(value - found.gradients.get(name)!.data[i]!)));
      expect(worst / scale, name).toBeLessThan(1e-3);
    }
  });

  test("a missing device is a UserError of one sentence", async (context) => {
    if (!availableDevices().includes("cuda")) {
      expect(() => nodeRuntime({ device: "cuda" })).toThrow(
        /device "cuda" is not in this build of ONNX Runtime; it has cpu/,
      );
      return;
    }
    const graph = new Graph();
    const x = graph.leaf("input", "x", "float32", ["n"]);
    const attempt = nodeRuntime({ device: "cuda" }).compile({ y: add(x, x) }, new Map());
    const failure = await attempt.then(
      (compiled) => compiled.release(),
      (error: unknown) => error,
    );
    if (failure === undefined) context.skip("this machine has a CUDA device");
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as UserError).message).toMatch(
      /^device "cuda" cannot be used on this machine: [^\n]*; use device "cpu"$/,
    );
  });

  test("weights that cannot be read are not reported as the device's error", async (context) => {
    if (!availableDevices().includes("webgpu")) return context.skip("this build of ONNX Runtime has no WebGPU");
    const graph = new Graph();
    const y = add(graph.leaf("input", "x", "float32", [1]), graph.leaf("frozen", "w", "float32", [1]));
    const unread: Tensor = {
      dtype: "float32",
      shape: [1],
      get data(): never {
        throw new UserError("model.gguf is truncated");
      },
    };
    const attempt = nodeRuntime({ device: "webgpu" }).compile({ y }, new Map([["w", unread]]));
    await expect(attempt).rejects.toThrow(/^model\.gguf is truncated$/);
  });

  test("reports a software GPU before training, but no real or unknown one", () => {
    const found = { device: "webgpu", usable: true } as const;
    expect(deviceNote({ ...found, name: "lavapipe", software: true })).toMatch(/^webgpu is lavapipe here, software/);
    expect(deviceNote({ ...found, name: "NVIDIA H100", software: false })).toBeUndefined();
    expect(deviceNote(found)).toBeUndefined();
  });

  test("tests every device of the build and returns a session or the reason", async () => {
    const found = await findDevices();
    expect(found.map(({ device }) => device)).toEqual(availableDevices());
    expect(found[0]).toMatchObject({ device: "cpu", usable: true });
    for (const { usable, reason } of found) expect(usable).toBe(reason === undefined);
  });
});
