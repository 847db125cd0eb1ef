import { uniformFloat32 } from "pure-rand/distribution/uniformFloat32";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { atOnce } from "../runtime/slices.ts";
import { cropPicture, type RawPicture, resizePicture } from "./resize-picture.ts";

/** Augmentations for training: none, random crops resized to the original size, or these with half of them mirrored. */
export const AUGMENTATIONS = ["none", "crop", "crop-and-flip"] as const;
/** How training varies pictures. */
export type Augmentation = (typeof AUGMENTATIONS)[number];

/** Smallest area of a crop, as a share of the picture. */
const MIN_AREA = 0.5;
/** Largest change of the aspect ratio. */
const MAX_STRETCH = 4 / 3;

/** Augments a picture, keeping its size (torchvision's RandomResizedCrop, RandomHorizontalFlip). @param variant 32-bit seed */
export function augmentPicture(picture: RawPicture, variant: number, augmentation: Augmentation): RawPicture {
  if (augmentation === "none") return picture;
  const random = xoroshiro128plus(variant);
  const draw = () => uniformFloat32(random);
  const area = MIN_AREA + (1 - MIN_AREA) * draw();
  const ratio = Math.exp((2 * draw() - 1) * Math.log(MAX_STRETCH));
  const sideOf = (whole: number, share: number): number => Math.min(whole, Math.max(1, Math.round(whole * share)));
  const height = sideOf(picture.height, Math.sqrt(area / ratio));
  const width = sideOf(picture.width, Math.sqrt(area * ratio));
  const top = Math.floor(draw() * (picture.height - height + 1));
  const left = Math.floor(draw() * (picture.width - width + 1));
  const part = cropPicture(picture, { top, left, height, width });
  const isMirrored = augmentation === "crop-and-flip" && draw() < 0.5;
  return atOnce(resizePicture(isMirrored ? mirrored(part) : part, picture, "bilinear"));
}

function mirrored({ height, width, data }: RawPicture): RawPicture {
  const mirroredData = data.map((_, i) => {
    const [pixel, channel] = [Math.floor(i / 3), i % 3];
    const column = pixel % width;
    return data[3 * (pixel - column + width - 1 - column) + channel]!;
  });
  return { height, width, data: mirroredData };
}
