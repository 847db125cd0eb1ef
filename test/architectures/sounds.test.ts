import { describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { openModelFolder } from "../../src/checkpoints/model-folder.ts";
import { modelFiles } from "../../src/checkpoints/model-folder-node.ts";
import { expectLikeAutograd, withLabel } from "../support/autograd.ts";
import { expectedSounds, SOUND_MODELS, soundModel } from "../support/sounds.ts";

const TOKENS = 29;
const SAMPLES = TOKENS * 40 + 25;
const LABELS = [2, 0];

// From PyTorch's older and newer exporter, by oracle/sounds.py.
describe("a sound model against PyTorch and autograd", () => {
  test.each(SOUND_MODELS)("%s", async (name) => {
    const { config, weights } = await openModelFolder(await modelFiles(soundModel(name)));
    const description = describeModel(config, weights.network);
    const { layerCount, hiddenSize, sound, maxLength } = description.config;
    expect([layerCount, hiddenSize, sound]).toEqual([2, 16, { hop: 40, rest: 25 }]);
    expect(maxLength).toBe(Math.floor((30 * 16_000 - 25) / 40));
    const expected = expectedSounds(name);
    const examples = LABELS.map((label, index) => {
      const none = new Int32Array(TOKENS);
      const write = (into: Float32Array) => into.set(expected.values.slice(index * SAMPLES, (index + 1) * SAMPLES));
      const inputs = { input_values: { shape: [SAMPLES], key: String(index), write } };
      return withLabel({ index, encoding: { inputIds: none, tokenTypeIds: none }, inputs }, label);
    });
    const { trace, unused, lacking } = await expectLikeAutograd(soundModel(name), description, expected, examples);
    expect(trace.modules.map(({ role }) => role).slice(0, 6)).toEqual([
      ...["attention", "attention", "attention", "attention", "ffn", "ffn"],
    ]);
    expect(unused).toEqual([]);
    expect(lacking, "gradients").toBeLessThan(name === "wavlm" ? 19 : 5);
  });
});
