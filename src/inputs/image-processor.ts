import { z } from "zod";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { UserError } from "../errors.ts";
import { inSlices } from "../runtime/slices.ts";
import { readPreprocessorConfig } from "./preprocessor-config.ts";
import { cropPicture, type PictureFilter, type RawPicture, resizePicture } from "./resize-picture.ts";

/**
 * Decodes a picture file. @param bytes the file's content, if not at the path. @throws UserError if it is not a
 * picture, or too large.
 */
export type DecodePicture = (path: string, bytes?: Uint8Array) => Promise<RawPicture>;

/** Converts pictures to a model's input, as its folder defines. */
export interface ImageProcessor {
  /** Size of all pictures that the model reads. */
  readonly height: number;
  readonly width: number;
  /**
   * Resizes a picture to the model's size, with a centre crop if the folder says so. Other events run meanwhile.
   * @param path of the picture, for the error message
   * @throws UserError if the resized picture would have too many pixels before the crop.
   */
  fit(picture: RawPicture, path: string): Promise<RawPicture>;
  /** Writes the pixels of a picture of that size as `[3, height, width]`, scaled and normalised. */
  write(picture: RawPicture, into: Float32Array): void;
}

const side = z.int().positive().max(4096);
const size = z.union([
  z.object({ height: side, width: side }).transform(({ height, width }) => ({ height, width })),
  z.object({ shortest_edge: side }).transform(({ shortest_edge }) => ({ shortestEdge: shortest_edge })),
  side.transform((both) => ({ height: both, width: both })),
]);
const triple = z.array(z.number()).length(3);

const schema = z.looseObject({
  do_resize: z.boolean().default(true),
  size,
  /** Pillow's filter number. */
  resample: z.int().default(2),
  do_center_crop: z.boolean().nullish(),
  crop_size: size.nullish(),
  do_rescale: z.boolean().default(true),
  rescale_factor: z.number().default(1 / 255),
  do_normalize: z.boolean().default(true),
  image_mean: triple.default([0.5, 0.5, 0.5]),
  image_std: triple.default([0.5, 0.5, 0.5]),
});

/** Upper limit on pixels of a resized picture, before the centre crop. */
const MAX_PIXELS = 2 ** 26;

/** Settings that are not supported, unless they are absent or off. */
const UNSUPPORTED = [
  "do_pad",
  "crop_pct",
  "do_flip_channel_order",
  "do_thumbnail",
  "do_align_long_axis",
  "do_reduce_labels",
];

const FILTERS: Readonly<Record<number, PictureFilter>> = {
  1: "lanczos",
  2: "bilinear",
  3: "bicubic",
  4: "box",
  5: "hamming",
};

/**
 * Reads `preprocessor_config.json` of Hugging Face image processors that resize, crop, rescale and normalise (ViT's, DINOv2's, CLIP's).
 * @returns undefined if the folder has none
 * @throws UserError if it is damaged, or uses other operations.
 */
export async function readImageProcessor(files: ModelFiles): Promise<ImageProcessor | undefined> {
  const found = await readPreprocessorConfig(files, schema);
  if (!found) return undefined;
  const { settings, location } = found;
  const other = UNSUPPORTED.find(
    (name) => settings[name] !== undefined && settings[name] !== null && settings[name] !== false,
  );
  if (other) throw new UserError(`${location} asks for ${other}, which is not supported`);
  return imageProcessor(settings, location);
}

function imageProcessor(settings: z.output<typeof schema>, location: string): ImageProcessor {
  const { size, do_resize, do_center_crop, crop_size, resample } = settings;
  const filter = FILTERS[resample];
  if (!filter) throw new UserError(`${location} resizes by Pillow's filter ${resample}; 1 to 5 are supported`);
  const target = (do_center_crop && crop_size) || size;
  if (!do_resize || "shortestEdge" in target) {
    throw new UserError(`${location} leaves pictures of different sizes, and a model here reads one size`);
  }
  const { height, width } = target;
  const least = "shortestEdge" in size ? { height: size.shortestEdge, width: size.shortestEdge } : size;
  if (least.height < height || least.width < width)
    throw new UserError(`${location} cuts more out of a picture than it has`);
  const table = valueTable(settings);
  return {
    height,
    width,
    async fit(picture, path) {
      const whole = resizedSize(picture, size);
      if (whole.height * whole.width > MAX_PIXELS) {
        throw new UserError(
          `${path} has ${picture.width} × ${picture.height} pixels, which is too long for its shorter edge to be resized; cut it`,
        );
      }
      const resized = (await inSlices(resizePicture(picture, whole, filter))) as RawPicture;
      return centreCrop(resized, { height, width });
    },
    write({ data }, into) {
      const pixels = height * width;
      for (let channel = 0; channel < 3; channel++) {
        const values = table[channel]!;
        for (let i = 0; i < pixels; i++) into[channel * pixels + i] = values[data[3 * i + channel]!]!;
      }
    },
  };
}

/** Returns the size of a resized picture. The other edge keeps the aspect ratio, rounded down. */
function resizedSize(
  { height, width }: RawPicture,
  size: z.output<typeof schema>["size"],
): { height: number; width: number } {
  if (!("shortestEdge" in size)) return size;
  const { shortestEdge: edge } = size;
  return width <= height
    ? { width: edge, height: Math.trunc((edge * height) / width) }
    : { height: edge, width: Math.trunc((edge * width) / height) };
}

function centreCrop(picture: RawPicture, { height, width }: { height: number; width: number }): RawPicture {
  if (picture.height === height && picture.width === width) return picture;
  const [top, left] = [Math.floor((picture.height - height) / 2), Math.floor((picture.width - width) / 2)];
  return cropPicture(picture, { top, left, height, width });
}

/** Returns the converted values 0 to 255 of each channel, computed in float32 as Hugging Face's processors do. */
function valueTable(settings: z.output<typeof schema>): Float32Array[] {
  const { do_rescale, rescale_factor, do_normalize, image_mean, image_std } = settings;
  const round = Math.fround;
  return image_mean.map((mean, channel) =>
    Float32Array.from({ length: 256 }, (_, value) => {
      const scaled = do_rescale ? round(value * rescale_factor) : value;
      return do_normalize ? round(scaled - round(mean)) / round(image_std[channel]!) : scaled;
    }),
  );
}
