import type { Adapter, AdapterDescription } from "../base-models/adapter.ts";
import { type BaseModel, withHead } from "../base-models/base-model.ts";
import { fitToPredict } from "../base-models/fitted-adapter.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import type { Runtime } from "../runtime/session.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { CompiledModel } from "./compiled-model.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";

interface HostedAdapter {
  /** Adapters of one group differ only in their arrays, so one compiled graph computes all of them. */
  group: string;
  compile(runtime: Runtime, alone: boolean): Promise<CompiledModel>;
  modelOf(compiled: CompiledModel): FineTunedModel;
}

/**
 * Gives the base model the head that the adapter's task needs, and fits the adapter to it.
 * @throws UserError if the adapter does not fit the base model, or both lack a weight of the head
 */
export async function fitHostedAdapter(of: BaseModel, adapter: Adapter): Promise<HostedAdapter> {
  const base = await withHead(of, adapter.description.task, 0);
  const fitted = fitToPredict(base, adapter);
  return {
    group: groupOf(adapter.description, base),
    compile: (runtime, alone) => CompiledModel.compile(base, fitted, runtime, { constantAdapter: alone }),
    modelOf: (compiled) => new FineTunedModel(base, fitted, compiled),
  };
}

function groupOf(
  { method, methodOptions, task }: AdapterDescription,
  { labelCount, head, features }: BaseModel,
): string {
  const options = Object.entries(parseMethodOptions(findMethod(method), methodOptions)).sort();
  const { readout } = findTaskKind(task.kind);
  return JSON.stringify([method, options, labelCount, head, features, readout && task.kind]);
}
