import { UserError } from "../errors.ts";

/** A mono sound. */
export interface RawSound {
  /** Sampling rate in Hz. */
  rate: number;
  /** Values from -1 to 1. */
  samples: Float32Array;
  /** Number of samples in the whole file; `samples` may be a part. */
  length: number;
}

/** Decodes `seconds` of a sound file. @param bytes its content, if not at the path. @throws UserError if it is not a sound. */
export type DecodeSound = (path: string, seconds: number, bytes?: Uint8Array) => Promise<RawSound>;

/** Sample formats of WAV files by code. An extensible header holds the code in a later field. */
const FORMAT = { pcm: 1, float: 3, extensible: 0xfffe };

/** Functions that read a sample at a position, by `format code:bits`. */
const READERS: Readonly<Record<string, (view: DataView, at: number) => number>> = {
  [`${FORMAT.pcm}:8`]: (view, at) => (view.getUint8(at) - 128) / 2 ** 7,
  [`${FORMAT.pcm}:16`]: (view, at) => view.getInt16(at, true) / 2 ** 15,
  [`${FORMAT.pcm}:24`]: (view, at) => (view.getInt8(at + 2) * 2 ** 16 + view.getUint16(at, true)) / 2 ** 23,
  [`${FORMAT.pcm}:32`]: (view, at) => view.getInt32(at, true) / 2 ** 31,
  [`${FORMAT.float}:32`]: (view, at) => view.getFloat32(at, true),
  [`${FORMAT.float}:64`]: (view, at) => view.getFloat64(at, true),
};

/**
 * Reads a WAV file: PCM of 8, 16, 24 or 32 bits, or floating point of 32 or 64 bits. Averages the channels.
 * @param path for error messages
 * @param seconds length to read
 * @throws UserError if it is not a WAV file, damaged, empty, or has another sample format.
 */
export function readWav(bytes: Uint8Array, path: string, seconds: number): RawSound {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (textAt(view, 0) !== "RIFF" || textAt(view, 8) !== "WAVE") {
    throw new UserError(`${path} is not a WAV file; convert it to WAV with another tool`);
  }
  const format = chunkOf(view, "fmt ");
  const data = chunkOf(view, "data");
  if (!format || format.size < 16 || !data) throw new UserError(`${path} is damaged or was cut off; get it again`);
  const code = view.getUint16(format.start, true);
  const channels = view.getUint16(format.start + 2, true);
  const rate = view.getUint32(format.start + 4, true);
  const bits = view.getUint16(format.start + 14, true);
  const own = code === FORMAT.extensible && format.size >= 26 ? view.getUint16(format.start + 24, true) : code;
  const read = READERS[`${own}:${bits}`];
  if (!read) {
    throw new UserError(
      `${path} has samples of ${bits} bits in format ${own}; aflora reads PCM of 8 to 32 bits and floating-point numbers`,
    );
  }
  if (channels < 1 || rate < 1000 || rate > 768_000) {
    throw new UserError(`${path} says that it has ${channels} channels of ${rate} samples a second; get it again`);
  }
  const frame = (channels * bits) / 8;
  const length = Math.floor(data.size / frame);
  if (length === 0) throw new UserError(`${path} holds no sound; remove it`);
  const samples = new Float32Array(Math.min(length, Math.ceil(seconds * rate)));
  for (let i = 0; i < samples.length; i++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) {
      sum += read(view, data.start + i * frame + (channel * bits) / 8);
    }
    samples[i] = sum / channels;
  }
  if (samples.some((sample) => !Number.isFinite(sample))) {
    throw new UserError(`${path} holds samples that are not numbers; save it again`);
  }
  return { rate, samples, length };
}

const textAt = (view: DataView, at: number): string =>
  at + 4 > view.byteLength ? "" : String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));

/** Returns the first chunk of this name, cut off at the end of the file: streams claim more than they have. */
function chunkOf(view: DataView, name: string): { start: number; size: number } | undefined {
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    const start = at + 8;
    if (textAt(view, at) === name) return { start, size: Math.min(size, view.byteLength - start) };
    at = start + size + (size % 2);
  }
  return undefined;
}
