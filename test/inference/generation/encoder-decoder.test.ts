import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { modelFiles } from "../../../src/checkpoints/model-folder-node.ts";
import { UserError } from "../../../src/errors.ts";
import { beamSearch } from "../../../src/inference/generation/beam-search.ts";
import { CachedDecoder } from "../../../src/inference/generation/cached-decoder.ts";
import { generateTokens } from "../../../src/inference/generation/generate-tokens.ts";
import { generationOptions } from "../../../src/inference/generation/generation-options.ts";
import { readGenerationSettings } from "../../../src/inference/generation-settings.ts";
import { runtime } from "../../support/runtime.ts";
import { loadSeq2Seq, SEQ2SEQ, seq2seqFolder } from "../../support/seq2seq-fixture.ts";

let decoder: CachedDecoder | undefined;
afterEach(async () => {
  await decoder?.release();
  decoder = undefined;
});

/** A compiled fixture, and the generation settings of its files. */
async function writerOf(name: string) {
  const { model, weights, numbers } = await loadSeq2Seq(name);
  decoder = await CachedDecoder.compile(model, weights, runtime);
  const files = await modelFiles(seq2seqFolder(name));
  const { architecture } = model;
  const { tokens, defaults } = await readGenerationSettings({ files, architecture, tokenizer: { specialTokens: {} } });
  const own = JSON.parse(readFileSync(join(seq2seqFolder(name), "generation_config.json"), "utf8"));
  const options = { ...generationOptions.parse(defaults), ...tokens };
  return { decoder, numbers, options, begun: numbers.inputs.map(() => [own.decoder_start_token_id as number]) };
}

describe("20 texts of mixed length in one batch, with the settings of the model's files (oracle/encoder_decoders.py)", () => {
  test.each(SEQ2SEQ)("%s: greedy answers match transformers' generate", async (name) => {
    const { decoder, numbers, options, begun } = await writerOf(name);
    const reader = decoder.reader(undefined, { sources: numbers.inputs });
    const written = begun.map((): number[] => []);
    await generateTokens(reader, begun, options, { take: ({ answer, token }) => written[answer]!.push(token) });
    reader.release();
    expect(written).toEqual(numbers.greedy);
  });

  test.each(SEQ2SEQ)("%s: answers of beam search match", async (name) => {
    const { decoder, numbers, options, begun } = await writerOf(name);
    expect(options.numBeams).toBe(4);
    const reader = decoder.reader(undefined, { sources: numbers.inputs });
    expect(await beamSearch(reader, begun, options)).toEqual(numbers.beams);
    reader.release();
  });
});

test("a text that is longer than the encoder reads is refused", async () => {
  const { decoder } = await writerOf("bart-1");
  const reader = decoder.reader(undefined, { sources: [Array<number>(129).fill(7)] });
  await expect(reader.read([[2]])).rejects.toThrow(
    new UserError("a text of 129 tokens is longer than the 128 that the model reads"),
  );
});

test("source texts are required", async () => {
  const { decoder } = await writerOf("bart-1");
  expect(() => decoder.reader()).toThrow(UserError);
  expect(() => decoder.reader(undefined, { sources: [] })).toThrow("give the ids of one source for each text");
});
