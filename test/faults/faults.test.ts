import { expect, test } from "vitest";
import { killRuns } from "./killer.ts";
import { raceRuns } from "./racer.ts";

// A small part of `npm run test:faults`, of another seed.
test("runs that are killed go on to the bit", async () => {
  expect(await killRuns({ kills: 3, seed: 5 })).toMatch(/^3 SIGKILLs in \d+ runs/);
});

test("of two processes on one run folder one writes", async () => {
  expect(await raceRuns({ races: 6, seed: 5 })).toMatch(/^6 races/);
});
