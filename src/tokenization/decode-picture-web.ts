import { UserError } from "../errors.ts";
import { refuseLargeFile, refuseLargePicture } from "./picture-file.ts";
import type { RawPicture } from "./resize-picture.ts";

/** Pixels that are taken off a canvas at once: some browsers have canvases of 16 million at most. */
const AT_ONCE = 2 ** 22;

/**
 * Decodes a picture's file as the browser does, turned as its camera says; what is transparent is black.
 * @param path for the error message
 * @throws UserError where the file is no picture that the browser reads, damaged or too large.
 */
export async function decodePicture(path: string, file: Blob): Promise<RawPicture> {
  refuseLargeFile(path, file.size);
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => {
    throw new UserError(`${path} is no picture that this browser reads, or damaged; save it as JPEG or PNG`);
  });
  try {
    refuseLargePicture(path, bitmap);
    return pixelsOf(bitmap);
  } finally {
    bitmap.close();
  }
}

/** A bitmap's red, green and blue, strip by strip. */
function pixelsOf(bitmap: ImageBitmap): RawPicture {
  const { height, width } = bitmap;
  const rows = Math.min(height, Math.max(1, Math.floor(AT_ONCE / width)));
  const context = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true })!;
  // Each is replaced by what is drawn, not drawn over.
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
