import { readFile, stat } from "node:fs/promises";
import { UserError } from "../errors.ts";
import type { RawPicture } from "./resize-picture.ts";

/** Most bytes of a picture's file, and most pixels. */
const MAX_BYTES = 2 ** 26;
const MAX_PIXELS = 2 ** 26;

/** Of those that sharp reads, the formats of pictures made of pixels. */
const FORMATS: ReadonlySet<string> = new Set(["jpeg", "png", "webp", "gif", "tiff", "heif", "avif"]);

/** Endings of files that hold pictures. */
export const PICTURE_FILE = /\.(jpe?g|png|webp|gif|tiff?|avif)$/i;

/**
 * Decodes a picture's file: JPEG, PNG, WebP, GIF (its first picture), TIFF or AVIF, turned as its camera says, without transparency.
 * @throws UserError where sharp is not installed, or the file is no picture, damaged or too large.
 */
export async function decodePicture(path: string): Promise<RawPicture> {
  const sharp = await loadSharp();
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) throw new UserError(`there is no picture ${path}; check the path`);
  if (found.size > MAX_BYTES) {
    throw new UserError(
      `${path} has ${(found.size / 1e6).toFixed(0)} MB; a picture may have ${MAX_BYTES / 2 ** 20} MiB: make it smaller`,
    );
  }
  try {
    const picture = sharp(await readFile(path), { limitInputPixels: MAX_PIXELS });
    const { format } = await picture.metadata();
    if (!FORMATS.has(format)) throw new Error(`its format is ${format}`);
    const { data, info } = await picture
      .autoOrient()
      .toColourspace("srgb")
      .removeAlpha()
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`it has ${info.channels} channels`);
    return { height: info.height, width: info.width, data };
  } catch (error) {
    throw new UserError(`${path} cannot be read as a picture: ${(error as Error).message}`);
  }
}

async function loadSharp(): Promise<typeof import("sharp").default> {
  try {
    const { default: sharp } = await import("sharp");
    return sharp;
  } catch {
    throw new UserError("pictures need a package that is not installed; install it with: npm install sharp");
  }
}
