import type { Device } from "../runtime/device.ts";
import { DEVICES } from "../runtime/devices.ts";
import { pageDevices, webRuntime } from "../runtime/runtime-web.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TimedStep } from "../training/step-time.ts";
import type { FineTuning } from "./fine-tuning.ts";

/** The device to train on, with a note for the user. */
export interface ChosenDevice {
  runtime: Runtime;
  note?: string;
}

/** Chooses the device of the page on which a run's steps are fastest. */
export async function fastestDevice(fineTuning: FineTuning): Promise<ChosenDevice> {
  let chosen: ChosenDevice = { runtime: await webRuntime() };
  for (const device of await pageDevices()) {
    if (device === chosen.runtime.device.name) continue;
    chosen = await fasterOf(fineTuning, chosen.runtime, DEVICES.find(device), () => webRuntime({ device }));
  }
  return chosen;
}

/** Name of a device in notes. */
const shown = ({ name, page }: Device): string => page?.name ?? name;

/** Limit on the relative difference of one step's losses on two devices: beyond it, one of them computes wrongly. */
const LOSSES_APART = 0.01;

/**
 * Times a step on each of two devices and chooses the faster one.
 * @param fineTuning the run whose first step is taken
 * @param open opens a runtime on the other device, which may fail even if the browser has it
 */
export async function fasterOf(
  fineTuning: Pick<FineTuning, "timeStep">,
  runtime: Runtime,
  device: Device,
  open: () => Promise<Runtime>,
): Promise<ChosenDevice> {
  let other: Runtime;
  let others: TimedStep;
  try {
    other = await open();
    others = await fineTuning.timeStep(other);
  } catch (error) {
    return { runtime, note: `${shown(device)} cannot be used in this browser: ${reasonOf(error)}` };
  }
  let own: TimedStep;
  try {
    own = await fineTuning.timeStep(runtime);
  } catch (error) {
    const note = `trains on ${shown(other.device)}: ${shown(runtime.device)} cannot take a step (${reasonOf(error)})`;
    return { runtime: other, note };
  }
  if (!(Math.abs(others.loss - own.loss) <= LOSSES_APART * Math.max(1, Math.abs(own.loss)))) {
    const losses = `${others.loss.toPrecision(4)} and not ${own.loss.toPrecision(4)}`;
    return {
      runtime,
      note: `${shown(other.device)} computes wrongly in this browser: a step's loss is ${losses} there`,
    };
  }
  const milliseconds = ({ seconds }: TimedStep): string => `${Math.round(1000 * seconds).toLocaleString("en-US")} ms`;
  const faster = others.seconds < own.seconds;
  const [chosen, left] = faster ? [other, runtime] : [runtime, other];
  const [first, second] = faster ? [others, own] : [own, others];
  return {
    runtime: chosen,
    note: `trains on ${shown(chosen.device)}: a step took ${milliseconds(first)} there and ${milliseconds(second)} on ${shown(left.device)}`,
  };
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
