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

/** A WAV file of samples of 16 bits, one channel after the other in each frame. */
export function wavBytes(samples: Int16Array, { rate = 16_000, channels = 1 } = {}): Uint8Array {
  const data = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  return riff({ code: 1, channels, rate, bits: 16 }, data);
}

/** A WAV file of any format. */
export function riff(
  { code, channels, rate, bits }: { code: number; channels: number; rate: number; bits: number },
  data: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(44 + data.length);
  const view = new DataView(bytes.buffer);
  const put = (at: number, text: string) => bytes.set(new TextEncoder().encode(text), at);
  put(0, "RIFF");
  view.setUint32(4, 36 + data.length, true);
  put(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, code, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, (rate * channels * bits) / 8, true);
  view.setUint16(32, (channels * bits) / 8, true);
  view.setUint16(34, bits, true);
  put(36, "data");
  view.setUint32(40, data.length, true);
  bytes.set(data, 44);
  return bytes;
}
