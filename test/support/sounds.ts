import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Small models of sound, by oracle/sounds.py. */
export const SOUND_MODELS = ["wav2vec2", "wav2vec2-large", "hubert", "wavlm"] as const;
export const soundModel = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/sounds/${name}`, import.meta.url));

export interface ExpectedSounds {
  /** Of two sounds, `[2, 1185]`. */
  values: number[];
  logits: number[][];
  loss: number;
  classifier: { weight: number[][]; bias: number[] };
}
export const expectedSounds = (name: string): ExpectedSounds =>
  JSON.parse(readFileSync(join(soundModel(name), "expected.json"), "utf8"));

/** The sound that oracle/sounds.py makes by the same formula, 16 bits each. */
export const madeSound = (samples: number, seed: number): Int16Array =>
  Int16Array.from({ length: samples }, (_, at) => ((at * at * 7 + at * seed * 131) % 20011) - 9000);
