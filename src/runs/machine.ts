import { cpus } from "node:os";
import { z } from "zod";
import { onnxRuntimeVersion } from "../runtime/runtime-node.ts";
import type { Runtime } from "../runtime/session.ts";

export const machineSchema = z.object({ processor: z.string(), threads: z.number(), onnxRuntime: z.string() });

/** Properties of a machine that can change the last bits of a result. */
export type Machine = z.output<typeof machineSchema>;

export function thisMachine({ threads }: Pick<Runtime, "threads">): Machine {
  return { processor: cpus()[0]?.model.trim() ?? "unknown", threads, onnxRuntime: onnxRuntimeVersion() };
}

const NAMES: Record<keyof Machine, string> = {
  processor: "processor",
  threads: "number of threads",
  onnxRuntime: "version of ONNX Runtime",
};

export function machineNote(before: Machine, now: Machine): string | undefined {
  const differences = (Object.keys(NAMES) as (keyof Machine)[])
    .filter((key) => before[key] !== now[key])
    .map((key) => `${NAMES[key]} (${before[key]}, now ${now[key]})`);
  if (differences.length === 0) return undefined;
  return `the run continues with another ${differences.join(" and another ")}; its numbers may differ in their last bits`;
}
