import type { ModelConfig } from "../architectures/architecture.ts";
import type { SoundWindows } from "../architectures/model-parts.ts";
import { readsPictures } from "../architectures/onnx/network-inputs.ts";
import { samplesOf } from "../architectures/streams/token-stream.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import type { Network } from "../checkpoints/onnx/network.ts";
import { UserError } from "../errors.ts";
import { augmentPicture } from "../inputs/augment-picture.ts";
import { readFeatureExtractor } from "../inputs/feature-extractor.ts";
import { type DecodePicture, type ImageProcessor, readImageProcessor } from "../inputs/image-processor.ts";
import { resampleSound } from "../inputs/resample-sound.ts";
import type { RawPicture } from "../inputs/resize-picture.ts";
import type { DecodeSound } from "../inputs/wav.ts";
import type { PictureInput, SoundInput } from "../tasks/example.ts";
import type { Media } from "../tasks/media.ts";
import type { MediaReader } from "./read-media.ts";

/** Decoders of files. A kind of file without a decoder cannot be read. */
export interface Decoders {
  pictures: DecodePicture;
  sounds: DecodeSound;
}

export const readsOf = ({ picture, sound }: ModelConfig): Media | undefined =>
  picture ? "pictures" : sound && "sounds";

export const processorFor = async (
  network: Network | undefined,
  files: ModelFiles,
): Promise<ImageProcessor | undefined> => (network && readsPictures(network) ? readImageProcessor(files) : undefined);

export async function mediaReader(
  { picture, sound, maxLength }: ModelConfig,
  files: ModelFiles,
  processor: ImageProcessor | undefined,
  decoders: Partial<Decoders> | undefined,
): Promise<MediaReader | undefined> {
  if (picture) return pictureReader(files.location, processor, decoders?.pictures);
  if (!sound) return undefined;
  const extractor = await readFeatureExtractor(files);
  const most = Number(samplesOf(sound, maxLength));
  const refuse = (): never => refuseMissingConfig(files.location, "how many samples a second the model takes");
  const decode = decoders?.sounds ?? noFiles("sounds");
  return {
    reads: "sounds",
    async read({ text: path, bytes }) {
      const { samplingRate, write } = extractor ?? refuse();
      // Samples after the end contribute to the resampled samples just before it.
      const { rate, samples, length } = await decode(path, most / samplingRate + 0.1, bytes);
      const own = resampleSound(samples, rate, samplingRate).slice(0, most);
      return { found: { sound: soundInput(own, (length * samplingRate) / rate, sound, write) }, bytes: own.byteLength };
    },
  };
}

function soundInput(
  samples: Float32Array,
  length: number,
  windows: SoundWindows,
  normalize: (samples: Float32Array, into: Float32Array) => void,
): SoundInput {
  const key = hashOf(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength));
  return {
    tokens: Math.max(1, Math.ceil((length - windows.rest) / windows.hop)),
    ofLength(tokens) {
      const most = Number(samplesOf(windows, tokens));
      return { shape: [most], key, write: (into) => normalize(samples.subarray(0, most), into) };
    },
  };
}

function pictureReader(
  location: string,
  processor: ImageProcessor | undefined,
  decode: DecodePicture = noFiles("pictures"),
): MediaReader {
  const size = processor && processor.height * processor.width * 3;
  const refuse = (): never => refuseMissingConfig(location, "how pictures are resized and scaled");
  return {
    reads: "pictures",
    size,
    async read({ text: path, bytes }) {
      const own = processor ?? refuse();
      const raw = await own.fit(await decode(path, bytes), path);
      return { found: { picture: pictureInput(own, raw) }, bytes: raw.data.byteLength };
    },
  };
}

function refuseMissingConfig(location: string, what: string): never {
  throw new UserError(
    `${location} has no preprocessor_config.json, which says ${what}; get it from the model's source`,
  );
}

const noFiles = (media: Media) => (): never => {
  throw new UserError(`files of ${media} cannot be decoded here; in a page, open pictures with openPicture`);
};

/** A picture at the model's input size. Its values are scaled on demand, so it takes a quarter of the memory. */
function pictureInput(processor: ImageProcessor, picture: RawPicture): PictureInput {
  return {
    shape: [3, processor.height, processor.width],
    key: hashOf(picture.data),
    write: (into, variant, augmentation = "none") =>
      processor.write(variant === undefined ? picture : augmentPicture(picture, variant, augmentation), into),
  };
}

/** A 64-bit hash; equal only for equal bytes, except with negligible probability. */
function hashOf(bytes: Uint8Array): string {
  let [a, b] = [0x811c9dc5, 0x1b873593];
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x85ebca6b) + 1;
  }
  return `${(a >>> 0).toString(16)}.${(b >>> 0).toString(16)}`;
}
