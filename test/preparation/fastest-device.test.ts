import { expect, test } from "vitest";
import { fasterOf } from "../../src/preparation/fastest-device.ts";
import { webgpu } from "../../src/runtime/devices/webgpu.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { Runtime } from "../../src/runtime/session.ts";
import type { TimedStep } from "../../src/training/step-time.ts";

// test/web/webgpu.test.ts has real devices; none of those computes wrongly, or has no memory left.
const cpu = nodeRuntime();
const card = new Runtime({} as ConstructorParameters<typeof Runtime>[0], { device: webgpu, threads: 1 });

/** What is chosen of Wasm and a card whose first steps come to this. */
async function chosen(inWasm: TimedStep | Error, onCard: TimedStep | Error) {
  const timeStep = async (runtime: Runtime): Promise<TimedStep> => {
    const step = runtime === card ? onCard : inWasm;
    if (step instanceof Error) throw step;
    return step;
  };
  const { runtime, note } = await fasterOf({ timeStep }, cpu, webgpu, async () => card);
  return [runtime.device.name, note];
}

test("the faster of two devices trains, where both come to the same loss", async () => {
  expect(await chosen({ seconds: 1.2, loss: 0.7 }, { seconds: 0.3, loss: 0.7001 })).toEqual([
    "webgpu",
    "trains on WebGPU: a step took 300 ms there and 1,200 ms on WebAssembly",
  ]);
  expect(await chosen({ seconds: 0.2, loss: 0.7 }, { seconds: 0.3, loss: 0.7 })).toEqual([
    "cpu",
    "trains on WebAssembly: a step took 200 ms there and 300 ms on WebGPU",
  ]);
});

test("a card that computes wrongly does not train, however fast it is", async () => {
  for (const loss of [0, 0.75, Number.NaN]) {
    const [device, note] = await chosen({ seconds: 1, loss: Math.LN2 }, { seconds: 0.01, loss });
    expect(device).toBe("cpu");
    expect(note).toMatch(/^WebGPU computes wrongly in this browser: a step's loss is .* and not 0\.6931 there$/);
  }
});

test("where one cannot take a step, the other trains", async () => {
  expect(await chosen({ seconds: 1, loss: 0.7 }, new Error("no adapter"))).toEqual([
    "cpu",
    "WebGPU cannot be used in this browser: no adapter",
  ]);
  expect(await chosen(new Error("out of memory"), { seconds: 1, loss: 0.7 })).toEqual([
    "webgpu",
    "trains on WebGPU: WebAssembly cannot take a step (out of memory)",
  ]);
});
