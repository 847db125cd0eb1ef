import { UserError } from "../errors.ts";
import { refuseLargeFile, refuseLargePicture } from "./picture-file.ts";
import type { RawPicture } from "./resize-picture.ts";

/** Pixels to read from a canvas at once; some browsers limit canvases to 16 million. */
const MAX_STRIP_PIXELS = 2 ** 22;

/**
 * Decodes a picture file in the browser. Applies its EXIF orientation; transparent pixels become black.
 * @param path for the error message
 * @throws UserError if the browser cannot read the picture, or it is damaged or too large.
 */
export async function decodePicture(path: string, file: Blob): Promise<RawPicture> {
  refuseLargeFile(path, file.size);
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => {
    throw new UserError(`${path} is not a picture that this browser can read, or is damaged; save it as JPEG or PNG`);
  });
  try {
    refuseLargePicture(path, bitmap);
    return pixelsOf(bitmap);
  } finally {
    bitmap.close();
  }
}

function pixelsOf(bitmap: ImageBitmap): RawPicture {
  const { height, width } = bitmap;
  const rows = Math.min(height, Math.max(1, Math.floor(MAX_STRIP_PIXELS / width)));
  const context = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true })!;
  // Replaces earlier pixels instead of blending with them.
  context.globalCompositeOperation = "copy";
  const data = new Uint8Array(height * width * 3);
  for (let top = 0, at = 0; top < height; top += rows) {
    context.drawImage(bitmap, 0, -top);
    const strip = context.getImageData(0, 0, width, Math.min(rows, height - top)).data;
    for (let i = 0; i < strip.length; i += 4) {
      data[at++] = strip[i]!;
      data[at++] = strip[i + 1]!;
      data[at++] = strip[i + 2]!;
    }
  }
  return { height, width, data };
}
