import { uniformFloat32 } from "pure-rand/distribution/uniformFloat32";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { cutOut, type RawPicture, resized } from "./resize-picture.ts";

/** How training varies pictures: not at all, by parts of them at their size, or by such parts of which half are mirrored. */
export const AUGMENTATIONS = ["none", "crop", "crop-and-flip"] as const;
export type Augmentation = (typeof AUGMENTATIONS)[number];

/** Least share of a picture that a part is. */
const LEAST = 0.5;
/** How many times wider, or higher, a part may be than a picture of its area. */
const STRETCH = 4 / 3;

/** One of a picture's variants, at its size (torchvision's RandomResizedCrop and RandomHorizontalFlip). @param variant 32 bits that choose it */
export function varied(picture: RawPicture, variant: number, augmentation: Augmentation): RawPicture {
  if (augmentation === "none") return picture;
  const random = xoroshiro128plus(variant);
  const draw = () => uniformFloat32(random);
  const area = LEAST + (1 - LEAST) * draw();
  const ratio = Math.exp((2 * draw() - 1) * Math.log(STRETCH));
  const sideOf = (whole: number, share: number): number => Math.min(whole, Math.max(1, Math.round(whole * share)));
  const height = sideOf(picture.height, Math.sqrt(area / ratio));
  const width = sideOf(picture.width, Math.sqrt(area * ratio));
  const top = Math.floor(draw() * (picture.height - height + 1));
  const left = Math.floor(draw() * (picture.width - width + 1));
  const part = cutOut(picture, { top, left, height, width });
  const isMirrored = augmentation === "crop-and-flip" && draw() < 0.5;
  return resized(isMirrored ? mirrored(part) : part, picture, "bilinear");
}

/** The picture with left and right exchanged. */
function mirrored({ height, width, data }: RawPicture): RawPicture {
  const turned = data.map((_, i) => {
    const [pixel, channel] = [Math.floor(i / 3), i % 3];
    const column = pixel % width;
    return data[3 * (pixel - column + width - 1 - column) + channel]!;
  });
  return { height, width, data: turned };
}
