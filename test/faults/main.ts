/**
 * Things that go wrong, tried on the real parts: npm run test:faults -- killer --kills 100 --seed 1
 * Without a program's name each runs with its defaults.
 */
import build from "../support/build.ts";
import { fillDisk } from "./full-disk.ts";
import { fuzzReaders } from "./fuzzer.ts";
import { faceHostileHub } from "./hostile-hub.ts";
import { killRuns } from "./killer.ts";
import { watchMemory } from "./memory.ts";
import { optionsOf } from "./program.ts";
import { raceRuns } from "./racer.ts";
import { sendRequests } from "./requests.ts";

const PROGRAMS: Record<string, (args: string[]) => Promise<string>> = {
  killer: (args) => killRuns(optionsOf(args, { kills: 100, seed: 1 })),
  disk: (args) => fillDisk(optionsOf(args, { count: 20, seed: 1 })),
  fuzzer: (args) => fuzzReaders(optionsOf(args, { count: 10_000, seed: 1, reader: "all" })),
  hub: (args) => faceHostileHub(optionsOf(args, { silence: 5 })),
  memory: (args) => watchMemory(optionsOf(args, { steps: 2000, seed: 1 })),
  racer: (args) => raceRuns(optionsOf(args, { races: 200, seed: 1 })),
  requests: (args) => sendRequests(optionsOf(args, { count: 1000, seed: 1, together: 8 })),
};

build();
const [name, ...args] = process.argv.slice(2);
const chosen = name === undefined ? Object.keys(PROGRAMS) : [name];
for (const each of chosen) {
  const program = PROGRAMS[each];
  if (!program) throw new Error(`there is no program ${each}; there are ${Object.keys(PROGRAMS).join(", ")}`);
  const started = performance.now();
  console.log(`${each}: ${await program(args)} (${Math.round((performance.now() - started) / 1000)} s)`);
}
