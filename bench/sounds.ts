/**
 * Draws sounds of five classes, a folder of WAV files for each, always the same ones for a seed: a tone, a chord, a sweep, noise and clicks, of
 * any pitch, loudness and length from a quarter of a second to a whole one.
 *
 *     npx tsx bench/sounds.ts FOLDER [COUNT] [SEED]
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Random } from "./random.ts";

const RATE = 16_000;

/** A sound's value at a time, in seconds. */
type Wave = (time: number) => number;

const tone =
  (frequency: number): Wave =>
  (time) =>
    Math.sin(2 * Math.PI * frequency * time);

/** A frequency of any height, each octave alike. */
const pitch = (random: Random, octaves = 4): number => 150 * 2 ** random.between(0, octaves);

const CLASSES: Readonly<Record<string, (random: Random, length: number) => Wave>> = {
  chord(random) {
    const root = pitch(random, 3);
    const third = random.between(0, 1) < 0.5 ? 6 / 5 : 5 / 4;
    const voices = [root, root * third, (root * 3) / 2].map(tone);
    return (time) => voices.reduce((sum, voice) => sum + voice(time) / 3, 0);
  },
  clicks(random) {
    const gap = random.between(0.04, 0.2);
    const ring = tone(pitch(random));
    return (time) => ring(time) * Math.exp(-(time % gap) / 0.004);
  },
  noise(random) {
    const smooth = random.between(0, 0.8);
    let value = 0;
    return () => {
      value = smooth * value + (1 - smooth) * random.between(-1, 1);
      return value;
    };
  },
  sweep(random, length) {
    const [from, to] = [pitch(random), pitch(random)];
    return (time) => Math.sin(2 * Math.PI * time * (from + ((to - from) * time) / (2 * length)));
  },
  tone: (random) => tone(pitch(random)),
};

/** A WAV file of 16 bits. */
function wav(samples: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(44 + 2 * samples.length);
  bytes.write("RIFF");
  bytes.writeUInt32LE(36 + 2 * samples.length, 4);
  bytes.write("WAVEfmt ", 8);
  for (const [at, value] of [
    [16, 16],
    [24, RATE],
    [28, 2 * RATE],
  ] as const)
    bytes.writeUInt32LE(value, at);
  for (const [at, value] of [
    [20, 1],
    [22, 1],
    [32, 2],
    [34, 16],
  ] as const)
    bytes.writeUInt16LE(value, at);
  bytes.write("data", 36);
  bytes.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((sample, i) => {
    bytes.writeInt16LE(Math.round(32_767 * sample), 44 + 2 * i);
  });
  return bytes;
}

const [folder = "sounds", count = "40", seed = "7"] = process.argv.slice(2);
const random = new Random(Number(seed));
for (const [name, draw] of Object.entries(CLASSES)) {
  await mkdir(join(folder, name), { recursive: true });
  for (let each = 0; each < Number(count); each++) {
    const length = random.between(0.25, 1);
    const loudness = random.between(0.2, 0.8);
    const wave = draw(random, length);
    const samples = Array.from({ length: Math.round(length * RATE) }, (_, i) => loudness * wave(i / RATE));
    await writeFile(join(folder, name, `${each}.wav`), wav(samples));
  }
}
