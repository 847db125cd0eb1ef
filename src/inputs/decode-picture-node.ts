import { UserError } from "../errors.ts";
import { importInstalled } from "../files/installed-package-node.ts";
import { mediaFile } from "./media-file-node.ts";
import { refuseLargeFile, refuseLargePicture } from "./picture-file.ts";
import type { RawPicture } from "./resize-picture.ts";

const FORMATS: ReadonlySet<string> = new Set(["jpeg", "png", "webp", "gif", "tiff", "heif", "avif"]);

const FORMATS_HINT = "JPEG, PNG, WebP, GIF, TIFF and AVIF can be read";

/**
 * Decodes a picture file: JPEG, PNG, WebP, GIF (first frame), TIFF or AVIF. Applies its EXIF orientation, drops transparency.
 * @param held the file's content, if it is not at the path
 * @throws UserError if sharp is not installed, or the file is not a picture, damaged or too large.
 */
export async function decodePicture(path: string, held?: Uint8Array): Promise<RawPicture> {
  const sharp = await loadSharp();
  const bytes = await mediaFile("picture", path, held, refuseLargeFile);
  if (bytes.length === 0) throw new UserError(`${path} is empty; get the picture again, or remove it`);
  // The number of pixels is checked before they are decoded.
  const picture = sharp(bytes, { limitInputPixels: false });
  const { format, compression, width, height } = await picture.metadata().catch(() => {
    throw new UserError(`${path} is not a picture, or is damaged; ${FORMATS_HINT}`);
  });
  // HEIC uses the same container as AVIF.
  if (!FORMATS.has(format) || compression === "hevc") {
    throw new UserError(`${path} is of the format ${compression === "hevc" ? "HEIC" : format}; ${FORMATS_HINT}`);
  }
  refuseLargePicture(path, { width, height });
  const { data, info } = await picture
    .autoOrient()
    .toColourspace("srgb")
    .removeAlpha()
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch(() => {
      throw new UserError(`${path} is damaged or was cut off; get the picture again, or remove it`);
    });
  if (info.channels !== 3) throw new UserError(`${path} has ${info.channels} channels of colour; save it in RGB`);
  return { height: info.height, width: info.width, data };
}

async function loadSharp(): Promise<typeof import("sharp").default> {
  try {
    const { default: sharp } = await importInstalled<typeof import("sharp")>("sharp");
    return sharp;
  } catch {
    throw new UserError("pictures need a package that is not installed; install it with: npm install sharp", {
      code: "missing-package",
    });
  }
}
