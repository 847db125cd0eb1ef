import { existsSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openSpillFile } from "../../src/runs/spill-file.ts";
import { HiddenStateCache, type SpillFile } from "../../src/training/frozen-blocks/hidden-state-cache.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-cache-"));
});
afterEach(() => rm(folder, { recursive: true }));

const sizeOf = (example: number): number => 40 + 8 * (example % 7);
const bytesOf = (example: number, boundary: number) =>
  new Uint8Array(sizeOf(example)).fill((31 * example + boundary) % 251);

test("20,000 texts: memory stays within its limit, the rest is in a file, and states of every boundary are restored", async () => {
  const path = join(folder, "states.bin");
  const bound = 100_000;
  const cache = new HiddenStateCache({ memory: bound, openSpill: () => openSpillFile(path) });
  const count = 20_000;
  let [most, lost] = [0, 0];
  for (const boundary of [1, 3]) {
    for (let example = 0; example < count; example++) {
      if (boundary === 3 && example % 3 === 0) continue;
      if (!(await cache.put(example, boundary, bytesOf(example, boundary)))) lost++;
      most = Math.max(most, cache.bytes);
    }
  }
  expect(most).toBeLessThanOrEqual(bound);
  expect(lost).toBe(0);
  const all = Array.from({ length: count }, (_, example) => sizeOf(example)).reduce((a, b) => a + b);
  expect(cache.bytes).toBeGreaterThan(0.9 * bound);
  expect(cache.bytes + cache.fileBytes).toBe(all);
  for (let example = 0; example < count; example += 97) {
    const boundary = example % 3 === 0 ? 1 : 3;
    expect(await cache.get(example, sizeOf(example))).toMatchObject({ boundary, bytes: bytesOf(example, boundary) });
  }
  expect(await cache.get(0, 41)).toBeUndefined();
  expect(existsSync(path)).toBe(true);
  await cache.release();
  expect(existsSync(path)).toBe(false);
});

test("without a file, states beyond the limit are not cached", async () => {
  const cache = new HiddenStateCache({ memory: 100 });
  const put = [0, 1, 2].map((example) => cache.put(example, 1, bytesOf(example, 1)));
  expect(await Promise.all(put)).toEqual([true, true, false]);
  expect([await cache.get(0, 40), await cache.get(1, 48), await cache.get(2, 56)].map(Boolean)).toEqual([
    true,
    true,
    false,
  ]);
  await cache.release();
});

test("if the disk is full, existing states remain, none are added, and the failure is reported", async () => {
  const path = join(folder, "states.bin");
  let room = 200;
  // A file on a disk of limited size: the system's own error, at the write that does not fit.
  const full = async (): Promise<SpillFile> => {
    const file = await openSpillFile(path);
    return {
      ...file,
      async write(place, bytes) {
        room -= bytes.length;
        if (room < 0) {
          const device = await open("/dev/full", "r+");
          await device.write(bytes).finally(() => device.close());
        }
        await file.write(place, bytes);
      },
    };
  };
  if (!existsSync("/dev/full")) return;
  const cache = new HiddenStateCache({ memory: 0, openSpill: full });
  for (let example = 0; example < 10; example++) await cache.put(example, 1, bytesOf(example, 1));
  expect(cache.failure).toMatch(/ENOSPC/);
  expect(await cache.get(1, sizeOf(1))).toMatchObject({ bytes: bytesOf(1, 1) });
  expect(await cache.get(9, sizeOf(9))).toBeUndefined();
  // States of an earlier boundary that cannot be replaced do not change.
  expect(await cache.put(1, 2, bytesOf(1, 2))).toBe(false);
  expect(await cache.get(1, sizeOf(1))).toMatchObject({ boundary: 1, bytes: bytesOf(1, 1) });
  await cache.release();
});

test("reserved places are those that states get, in memory and in the file, and have none until then", async () => {
  const cache = new HiddenStateCache({ memory: 100, openSpill: () => openSpillFile(join(folder, "states.bin")) });
  const examples = [0, 1, 2];
  const places = () => [cache.bytes, cache.fileBytes];
  expect(examples.map((example) => cache.reserve(example, 1, sizeOf(example)))).toEqual([true, true, true]);
  expect(places()).toEqual([40 + 48, 56]);
  for (const example of examples) {
    expect(await cache.get(example, sizeOf(example))).toEqual({ boundary: 1, bytes: undefined });
    expect(await cache.put(example, 1, bytesOf(example, 1))).toBe(true);
    expect(await cache.get(example, sizeOf(example))).toEqual({ boundary: 1, bytes: bytesOf(example, 1) });
  }
  expect(places()).toEqual([40 + 48, 56]);
  await cache.release();
  expect(new HiddenStateCache({ memory: 0 }).reserve(0, 1, 40)).toBe(false);
});
