import { expect, test } from "vitest";
import { fillDisk } from "./full-disk.ts";
import { fuzzReaders } from "./fuzzer.ts";
import { faceHostileHub } from "./hostile-hub.ts";
import { killRuns } from "./killer.ts";
import { raceRuns } from "./racer.ts";

// A small part of `npm run test:faults`, of another seed.
test("runs that are killed go on to the bit", async () => {
  expect(await killRuns({ kills: 3, seed: 5 })).toMatch(/^3 SIGKILLs in \d+ runs/);
});

test("of two processes on one run folder one writes", async () => {
  expect(await raceRuns({ races: 6, seed: 5 })).toMatch(/^6 races/);
});

test("a hostile hub is told from a good one in a sentence, in time, and gets no token to another host", async () => {
  expect(await faceHostileHub({ silence: 0.5 })).toMatch(/hostile hubs: each ended in a sentence/);
});

test("damaged and made-up files are read right or refused in a sentence", async () => {
  const lines = (await fuzzReaders({ count: 25, seed: 5, reader: "all" })).split("\n");
  expect(lines).toHaveLength(14);
  // Some are still whole.
  for (const line of lines) expect(line).toMatch(/: 25 inputs, [1-9]\d* read, [1-9]\d* refused in a sentence/);
});

test("files made by the grammars of their formats are read or refused in a sentence", async () => {
  const lines = (await fuzzReaders({ count: 40, seed: 5, reader: "grammars" })).split("\n");
  expect(lines).toHaveLength(5);
  for (const line of lines) expect(line).toMatch(/: 40 inputs, [1-9]\d* read, [1-9]\d* refused in a sentence/);
});

// Windows has no limit of the size of files.
test.skipIf(process.platform === "win32")(
  "a full disk ends a run in a sentence, and it goes on when there is room",
  async () => {
    expect(await fillDisk({ count: 3, seed: 5 })).toMatch(/^3 runs on a full disk/);
  },
);
