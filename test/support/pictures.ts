import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import type { RawPicture } from "../../src/inputs/resize-picture.ts";

/** Small models of pictures, by oracle/pictures.py. */
export const PICTURE_MODELS = ["vit", "dinov2", "clip"] as const;
/** The same of networks without attention, from PyTorch's older exporter and its newer one. */
export const CONVOLUTIONAL_MODELS = ["convolutional", "convolutional-2"] as const;
export const pictureModel = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/pictures/${name}`, import.meta.url));

export interface ExpectedPictures {
  /** Of two pictures, `[2, 3, 16, 16]`. */
  pixels: number[];
  logits: number[][];
  loss: number;
  classifier: { weight: number[][]; bias: number[] };
}
export const expectedPictures = (name: string): ExpectedPictures =>
  JSON.parse(readFileSync(join(pictureModel(name), "expected.json"), "utf8"));

/** The picture that oracle/pictures.py makes by the same formula. */
export function madePicture(width: number, height: number, seed: number): RawPicture {
  const data = new Uint8Array(height * width * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++, at++) {
        data[at] = (x * x * 7 + y * 13 * (channel + 1) + x * y * seed + channel * 50) % 256;
      }
    }
  }
  return { height, width, data };
}

/** Writes a picture as its path's ending says. */
export async function savePicture(path: string, { height, width, data }: RawPicture): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  await sharp(data, { raw: { height, width, channels: 3 } }).toFile(path);
}
