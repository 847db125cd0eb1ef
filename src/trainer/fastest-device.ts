import { hasWebGpu, webRuntime } from "../runtime/runtime-web.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TimedStep } from "../training/step-time.ts";
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

/** The farthest that losses of one step may lie apart on two devices, as a share: beyond, one of them computes wrongly. */
const LOSSES_APART = 0.01;

/**
 * Times a step on each.
 * @param fineTuning the run whose first step is taken
 * @param open the other one, which a browser may have and yet not be able to use
 */
export async function fasterOf(
  fineTuning: Pick<FineTuning, "timeStep">,
  runtime: Runtime,
  open: () => Promise<Runtime>,
): Promise<ChosenDevice> {
  let other: Runtime;
  let others: TimedStep;
  try {
    other = await open();
    others = await fineTuning.timeStep(other);
  } catch (error) {
    return { runtime, note: `this browser's graphics card cannot be used: ${reasonOf(error)}` };
  }
  let own: TimedStep;
  try {
    own = await fineTuning.timeStep(runtime);
  } catch (error) {
    const note = `trains on ${NAMES[other.device]}: ${NAMES[runtime.device]} cannot take a step (${reasonOf(error)})`;
    return { runtime: other, note };
  }
  if (!(Math.abs(others.loss - own.loss) <= LOSSES_APART * Math.max(1, Math.abs(own.loss)))) {
    const losses = `${others.loss.toPrecision(4)} and not ${own.loss.toPrecision(4)}`;
    return {
      runtime,
      note: `${NAMES[other.device]} computes wrongly in this browser: a step's loss is ${losses} there`,
    };
  }
  const milliseconds = ({ seconds }: TimedStep): string => `${Math.round(1000 * seconds).toLocaleString("en-US")} ms`;
  const faster = others.seconds < own.seconds;
  const [chosen, left] = faster ? [other, runtime] : [runtime, other];
  const [first, second] = faster ? [others, own] : [own, others];
  return {
    runtime: chosen,
    note: `trains on ${NAMES[chosen.device]}: a step took ${milliseconds(first)} there and ${milliseconds(second)} on ${NAMES[left.device]}`,
  };
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
