import { z } from "zod";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { UserError } from "../errors.ts";
import { readPreprocessorConfig } from "./preprocessor-config.ts";

/** Converts sounds to a model's input, as its folder defines. */
export interface FeatureExtractor {
  /** Sampling rate in Hz. */
  readonly samplingRate: number;
  /** Writes samples at that rate, normalised if the folder says so, followed by zeros. */
  write(samples: Float32Array, into: Float32Array): void;
}

const CLASS = "Wav2Vec2FeatureExtractor";

const schema = z.looseObject({
  feature_extractor_type: z.string().default(CLASS),
  sampling_rate: z.int().min(1000).max(768_000).default(16_000),
  do_normalize: z.boolean().default(true),
  feature_size: z.literal(1).default(1),
  padding_value: z.literal(0).default(0),
});

/**
 * Reads `preprocessor_config.json` of a Hugging Face feature extractor for waveforms (wav2vec2's, HuBERT's, WavLM's).
 * @returns undefined if the folder has none
 * @throws UserError if it is damaged, or of another extractor.
 */
export async function readFeatureExtractor(files: ModelFiles): Promise<FeatureExtractor | undefined> {
  const found = await readPreprocessorConfig(files, schema);
  if (!found) return undefined;
  const { settings, location } = found;
  const { feature_extractor_type: type, sampling_rate: samplingRate, do_normalize } = settings;
  if (type !== CLASS)
    throw new UserError(`${location} is for the feature extractor ${type}; aflora supports only ${CLASS}`);
  return {
    samplingRate,
    write(samples, into) {
      const { mean, deviation } = do_normalize ? spreadOf(samples) : { mean: 0, deviation: 1 };
      samples.forEach((sample, i) => {
        into[i] = (sample - mean) / deviation;
      });
      into.fill(0, samples.length);
    },
  };
}

function spreadOf(samples: Float32Array): { mean: number; deviation: number } {
  const meanOf = (term: (sample: number) => number): number =>
    samples.reduce((sum, sample) => sum + term(sample), 0) / Math.max(1, samples.length);
  const mean = meanOf((sample) => sample);
  const variance = meanOf((sample) => (sample - mean) ** 2);
  return { mean, deviation: Math.sqrt(variance + 1e-7) };
}
