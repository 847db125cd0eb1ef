import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { modelFiles } from "../../src/checkpoints/model-folder-node.ts";
import { decodeSound } from "../../src/inputs/decode-sound-node.ts";
import { readFeatureExtractor } from "../../src/inputs/feature-extractor.ts";
import { resampleSound } from "../../src/inputs/resample-sound.ts";
import { readWav } from "../../src/inputs/wav.ts";
import { expectedSounds, madeSound, riff, soundModel, wavBytes } from "../support/sounds.ts";

test("returns the values of transformers' feature extractor, truncated and padded", async () => {
  const extractor = (await readFeatureExtractor(await modelFiles(soundModel("wav2vec2"))))!;
  expect(extractor.samplingRate).toBe(16_000);
  const { values } = expectedSounds("wav2vec2");
  const size = 29 * 40 + 25;
  [madeSound(900, 3), madeSound(1500, 5)].forEach((made, i) => {
    const { samples } = readWav(wavBytes(made), "made.wav", 1);
    const into = new Float32Array(size).fill(7);
    extractor.write(samples.subarray(0, size), into);
    into.forEach((value, at) => {
      expect(Math.abs(value - values[i * size + at]!)).toBeLessThan(1e-6);
    });
  });
});

test("resamples like torchaudio", () => {
  const fixture = new URL("../fixtures/sounds/resampled.json", import.meta.url);
  const expected = JSON.parse(readFileSync(fixture, "utf8")) as Record<string, number[]>;
  const samples = Float32Array.from(madeSound(500, 3), (sample) => sample / 32_768);
  for (const [rate, values] of Object.entries(expected)) {
    const own = resampleSound(samples, Number(rate), 16_000);
    expect(own).toHaveLength(values.length);
    own.forEach((value, i) => {
      expect(Math.abs(value - values[i]!), rate).toBeLessThan(1e-6);
    });
  }
  expect(resampleSound(samples, 16_000, 16_000)).toBe(samples);
});

describe("a WAV file", () => {
  const WAVE = [0, 0.5, -0.5, 0.25, -1];
  const written = (size: number, put: (view: DataView, at: number, value: number) => void): Uint8Array => {
    const view = new DataView(new ArrayBuffer(size * WAVE.length));
    WAVE.forEach((value, i) => {
      put(view, i * size, value);
    });
    return new Uint8Array(view.buffer);
  };

  test.each([
    [1, 8, written(1, (view, at, value) => view.setUint8(at, value * 128 + 128))],
    [1, 16, written(2, (view, at, value) => view.setInt16(at, value * 2 ** 15, true))],
    [
      1,
      24,
      written(3, (view, at, value) => {
        view.setUint16(at, (value * 2 ** 23) & 0xffff, true);
        view.setInt8(at + 2, (value * 2 ** 23) >> 16);
      }),
    ],
    [1, 32, written(4, (view, at, value) => view.setInt32(at, value * 2 ** 31, true))],
    [3, 32, written(4, (view, at, value) => view.setFloat32(at, value, true))],
    [3, 64, written(8, (view, at, value) => view.setFloat64(at, value, true))],
  ])("of format %i with %i bits", (code, bits, data) => {
    const read = readWav(riff({ code, channels: 1, rate: 8000, bits }, data), "a.wav", 1);
    expect(read).toEqual({ rate: 8000, samples: Float32Array.from(WAVE), length: 5 });
  });

  test("of two channels is averaged, up to the requested length", () => {
    const bytes = wavBytes(Int16Array.of(16_384, 0, -16_384, -8192, 0, 0), { channels: 2, rate: 1000 });
    expect(readWav(bytes, "a.wav", 0.002)).toEqual({ rate: 1000, samples: Float32Array.of(0.25, -0.375), length: 3 });
  });

  test("can have other chunks before its samples, and be longer than its header says", () => {
    const whole = wavBytes(Int16Array.of(8192, -8192));
    const junk = new Uint8Array([...new TextEncoder().encode("LIST"), 3, 0, 0, 0, 1, 2, 3, 0]);
    const bytes = new Uint8Array([...whole.slice(0, 36), ...junk, ...whole.slice(36)]);
    new DataView(bytes.buffer).setUint32(52, 0xffffffff, true);
    expect([...readWav(bytes, "a.wav", 1).samples]).toEqual([0.25, -0.25]);
  });

  const one = Uint8Array.of(0, 0, 0, 0);
  test.each([
    ["is not a WAV file", new TextEncoder().encode("ID3 and so on, an MP3 file")],
    ["is not a WAV file", new Uint8Array(0)],
    ["is damaged or was cut off", wavBytes(Int16Array.of(1)).slice(0, 30)],
    ["holds no sound", wavBytes(new Int16Array(0))],
    ["samples of 16 bits in format 2", riff({ code: 2, channels: 1, rate: 8000, bits: 16 }, one)],
    ["0 channels of 8000 samples", riff({ code: 1, channels: 0, rate: 8000, bits: 16 }, one)],
    ["1 channels of 7 samples", riff({ code: 1, channels: 1, rate: 7, bits: 16 }, one)],
    [
      "samples that are not numbers",
      riff({ code: 3, channels: 1, rate: 8000, bits: 32 }, Uint8Array.of(0, 0, 192, 127)),
    ],
  ])("that %s is rejected in one sentence", (why, bytes) => {
    expect(() => readWav(bytes, "sounds/a.wav", 1)).toThrow(new RegExp(`^sounds/a.wav .*${why}`));
  });

  test("with arbitrary bytes is read, or rejected in one sentence", () => {
    const whole = wavBytes(madeSound(40, 1));
    for (let at = 0; at < 44; at++) {
      for (const byte of [0, 1, 127, 255]) {
        const bytes = whole.slice();
        bytes[at] = byte;
        try {
          expect(readWav(bytes, "a.wav", 1).samples.length).toBeLessThanOrEqual(80);
        } catch (error) {
          expect(String(error)).toMatch(/^UserError: a\.wav /);
        }
      }
    }
  });

  test("that is missing, or a folder, is reported", async () => {
    const folder = mkdtempSync(join(tmpdir(), "aflora-wav-"));
    try {
      await expect(decodeSound(join(folder, "none.wav"), 1)).rejects.toThrow(/there is no sound \S+none\.wav/);
      await expect(decodeSound(folder, 1)).rejects.toThrow("is a folder, not a sound");
      writeFileSync(join(folder, "a.wav"), wavBytes(Int16Array.of(8192)));
      expect((await decodeSound(join(folder, "a.wav"), 1)).samples).toEqual(Float32Array.of(0.25));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
