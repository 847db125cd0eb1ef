import { expect, test } from "vitest";
import { initialParameters } from "../../src/base-models/fitted-adapter.ts";
import { adalora } from "../../src/methods/adalora.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { head } from "../../src/methods/head.ts";
import { lora } from "../../src/methods/lora.ts";
import { loraXs } from "../../src/methods/lora-xs.ts";
import type { MethodDefinition } from "../../src/methods/method.ts";
import { parseMethodOptions } from "../../src/methods/methods.ts";
import { psoft } from "../../src/methods/psoft.ts";
import { sora } from "../../src/methods/sora.ts";
import { vera } from "../../src/methods/vera.ts";
import { Predictor } from "../../src/training/prediction/predictor.ts";
import { runtime } from "../support/runtime.ts";
import { batches, layersOf, smallBert } from "../support/small-bert.ts";

const base = await smallBert();
const rows = batches.flat().map(({ inputIds, tokenTypeIds }, index) => ({
  index,
  encoding: { inputIds: Int32Array.from(inputIds), tokenTypeIds: Int32Array.from(tokenTypeIds) },
}));

async function logits(method: MethodDefinition): Promise<Float32Array[]> {
  const adaptation = method.adapt(
    parseMethodOptions(method, "rank" in method.options.shape ? { rank: 4 } : {}),
    layersOf(base),
  );
  const parameters = initialParameters(adaptation, 3, (name) => base.weights.get(`${name}.weight`)!);
  const model = { ...base, adaptation, trainsHead: () => true };
  const predictor = await Predictor.compile(model, new Map([...base.weights, ...parameters]), runtime);
  const found = await predictor.logits(rows);
  await predictor.release();
  return found;
}

// A loss compares with the model before training, which needs no second model.
test.each([aflora, lora, loraXs, psoft, adalora, sora, vera])(
  "before training, $name equals the base model to the bit",
  async (method) => {
    expect(await logits(method)).toEqual(await logits(head));
  },
);
