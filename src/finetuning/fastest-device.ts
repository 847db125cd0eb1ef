import { hasWebGpu, webRuntime } from "../runtime/runtime-web.ts";
import type { Runtime } from "../runtime/session.ts";
import type { FineTuning } from "./fine-tuning.ts";

/** Where to train, and what the person should know of it. */
export interface ChosenDevice {
  runtime: Runtime;
  note?: string;
}

/** What of a page's devices takes a run's steps fastest: Wasm, or WebGPU where the browser has it on a graphics card. */
export async function fastestDevice(fineTuning: FineTuning): Promise<ChosenDevice> {
  const wasm = await webRuntime();
  if (!(await hasWebGpu())) return { runtime: wasm };
  return fasterOf(fineTuning, wasm, () => webRuntime({ device: "webgpu" }));
}

const NAMES = { cpu: "WebAssembly", webgpu: "WebGPU", cuda: "CUDA" } as const;

/** Times a step on each. @param open the other one, which a browser may have and yet not be able to use */
export async function fasterOf(
  fineTuning: FineTuning,
  runtime: Runtime,
  open: () => Promise<Runtime>,
): Promise<ChosenDevice> {
  let other: Runtime;
  let others: number;
  try {
    other = await open();
    others = await fineTuning.timeStep(other);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { runtime, note: `this browser's graphics card cannot be used: ${reason}` };
  }
  const own = await fineTuning.timeStep(runtime);
  const milliseconds = (seconds: number): string => `${Math.round(1000 * seconds).toLocaleString("en-US")} ms`;
  const [chosen, left] = others < own ? [other, runtime] : [runtime, other];
  const [first, second] = others < own ? [others, own] : [own, others];
  return {
    runtime: chosen,
    note: `trains on ${NAMES[chosen.device]}: a step took ${milliseconds(first)} there and ${milliseconds(second)} on ${NAMES[left.device]}`,
  };
}
