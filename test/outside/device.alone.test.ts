import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { trainCommand } from "../../src/cli/commands/train.ts";
import { registerDevice } from "../../src/extend.ts";
import { type FineTuneConfig, fineTune, nodeRuntime, readRunRecords, UserError } from "../../src/index.ts";
import { openDevice } from "../../src/runtime/devices-node.ts";
import { availableDevices } from "../../src/runtime/runtime-node.ts";
import { aflora } from "../support/aflora.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { twin } from "./twin-device.ts";

/** Registers a device when Node loads it before `aflora`. */
const REGISTERS = `
  import { registerDevice } from ${JSON.stringify(new URL("../../dist/extend.js", import.meta.url).href)};
  registerDevice({ name: "twin", provider: "cpu", describe: ({ processor }) => ({ name: processor }) });
`;

let home: string;
let options: FineTuneConfig;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-device-"));
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  options = { model, train, text: "message", label: "team", headStart: "new", epochs: 1, batchSize: 8 };
});
afterAll(() => rm(home, { recursive: true }));

test("a device from outside trains as the one that it delegates to", async () => {
  const losses = await Promise.all(
    (["cpu", "twin"] as const).map(async (device) => {
      const output = join(home, device);
      await fineTune({ ...options, device, threads: 1, output });
      return (await readRunRecords(output)).steps.map(({ loss }) => loss);
    }),
  );
  expect(losses[0]!.length).toBeGreaterThan(3);
  for (const [step, loss] of losses[1]!.entries()) expect(loss).toBeCloseTo(losses[0]![step]!, 4);
});

test("what it does not take is refused before anything is written", async () => {
  const output = join(home, "refused");
  await expect(fineTune({ ...options, device: "twin", base: "int4", output })).rejects.toThrow(
    new UserError(
      'device "twin" takes a base model in float32 or int8, not int4; give another option "base", or option "device" cpu',
    ),
  );
  expect(existsSync(output)).toBe(false);
  expect(() => registerDevice(twin)).toThrow(
    new UserError('device "twin" already exists; give the new one another name'),
  );
});

test("info finds it, help names it, and so does an error of a config file", async () => {
  expect(availableDevices()).toContain("twin");
  const { session, ...facts } = await openDevice(nodeRuntime({ device: "twin", threads: 1 }));
  await session.release();
  expect(facts).toEqual({ device: "twin", usable: true, name: expect.stringMatching(/, once more$/) });

  const help = trainCommand().helpInformation().replace(/\s+/g, " ");
  expect(help).toMatch(/--device <choice> device to compute on \([^)]*\btwin;/);

  await writeFile(join(home, "run.yaml"), "train: tickets.csv\ndevice: abacus\n");
  await writeFile(join(home, "registers.mjs"), REGISTERS);
  const env = { NODE_OPTIONS: "--import ./registers.mjs" };
  const refused = await aflora(["train", "--config", "run.yaml"], home, { env });
  expect(refused.stderr).toMatch(/option "device": it must be "cpu" or .*"twin", not "abacus"/);
  expect(refused.code).toBe(2);
});
