import type { Sliced } from "../runtime/slices.ts";

/** An RGB picture, `[height, width, 3]`. */
export interface RawPicture {
  height: number;
  width: number;
  data: Uint8Array;
}

/** Weights of neighbouring pixels, by their distance in pixels of the smaller picture. */
interface Filter {
  /** Distance from which the weight is 0. */
  support: number;
  weight(distance: number): number;
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** Pillow's filters, by its names. */
const FILTERS = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    weight: (x) => (Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)) : 0),
  },
  bicubic: {
    support: 2,
    weight(x) {
      const [a, d] = [-0.5, Math.abs(x)];
      if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
      return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
} as const satisfies Record<string, Filter>;

export type PictureFilter = keyof typeof FILTERS;

/** Pillow computes with integers: weights have 22 fractional bits. */
const ONE = 2 ** 22;

/** For each pixel of a resized axis, the first source pixel and the weights from there on. */
type Weights = { first: number; weights: Float64Array }[];

function weightsOf(from: number, to: number, { support, weight }: Filter): Weights {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  // Pillow multiplies by inverses, which rounds differently from division.
  const inverse = 1 / reach;
  return Array.from({ length: to }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + support * reach + 0.5));
    const own = Float64Array.from({ length: end - first }, (_, i) => weight((first + i - centre + 0.5) * inverse));
    const whole = 1 / own.reduce((total, each) => total + each, 0);
    return { first, weights: own.map((each) => roundHalfAway(each * whole * ONE)) };
  });
}

const roundHalfAway = (x: number): number => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);

const toValue = (sum: number): number => Math.min(255, Math.max(0, Math.floor((sum + ONE / 2) / ONE)));

/**
 * Resizes a picture, identically to Pillow's `resize` (13) to the bit: first the width, then the height, each rounded
 * to integers; the height first if only it shrinks. When shrinking, all pixels contribute. Pauses after each row.
 */
export function* resizePicture(
  picture: RawPicture,
  { height, width }: { height: number; width: number },
  filter: PictureFilter,
): Sliced<RawPicture> {
  const wide = (from: RawPicture) => alongRows(from, width, FILTERS[filter]);
  const high = (from: RawPicture) => alongColumns(from, height, FILTERS[filter]);
  const [first, then] = height < picture.height && width > picture.width ? [high, wide] : [wide, high];
  return yield* then(yield* first(picture));
}

function* alongRows(picture: RawPicture, width: number, filter: Filter): Sliced<RawPicture> {
  const { height, width: from, data } = picture;
  if (from === width) return picture;
  const result = new Uint8Array(height * width * 3);
  const weights = weightsOf(from, width, filter);
  for (let row = 0, at = 0; row < height; row++) {
    yield;
    for (const { first, weights: own } of weights) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = 0, place = (row * from + first) * 3 + channel; i < own.length; i++, place += 3) {
          sum += data[place]! * own[i]!;
        }
        result[at++] = toValue(sum);
      }
    }
  }
  return { height, width, data: result };
}

function* alongColumns(picture: RawPicture, height: number, filter: Filter): Sliced<RawPicture> {
  const { height: from, width, data } = picture;
  if (from === height) return picture;
  const stride = width * 3;
  const result = new Uint8Array(height * stride);
  for (const [row, { first, weights }] of weightsOf(from, height, filter).entries()) {
    yield;
    for (let column = 0; column < stride; column++) {
      let sum = 0;
      for (let i = 0, place = first * stride + column; i < weights.length; i++, place += stride) {
        sum += data[place]! * weights[i]!;
      }
      result[row * stride + column] = toValue(sum);
    }
  }
  return { height, width, data: result };
}

/** Crops a picture, by the upper left corner and the size. */
export function cropPicture(
  { width: from, data }: RawPicture,
  { top, left, height, width }: { top: number; left: number; height: number; width: number },
): RawPicture {
  const part = new Uint8Array(height * width * 3);
  for (let row = 0; row < height; row++) {
    const start = ((top + row) * from + left) * 3;
    part.set(data.subarray(start, start + width * 3), row * width * 3);
  }
  return { height, width, data: part };
}
