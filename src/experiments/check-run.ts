import { resolveModel } from "../checkpoints/hub-node.ts";
import { readFolderConfig } from "../checkpoints/model-folder-node.ts";
import { BUNDLED_MODEL } from "../finetuning/bundled-model.ts";
import { modelDirectory } from "../finetuning/load-base-model-node.ts";
import { findMethod, scheduleFor } from "../methods/methods.ts";
import { describeModel } from "../models/families.ts";
import { defaultHead, type ModelTrace, traceModel } from "../models/trace.ts";
import type { RunConfig } from "../runs/run-config.ts";
import { stepsPerEpoch } from "../training/batch-order.ts";

/** Checks runs before they start, from their options alone; models that were looked at are remembered. */
export class RunChecker {
  readonly #traces = new Map<string, Promise<ModelTrace>>();

  /**
   * Layers, ranks and schedules of a run, without weights.
   * @param examples that it trains on
   * @throws UserError where they cannot work
   */
  async check({ run, method }: RunConfig, examples: number): Promise<void> {
    const { sites } = await this.#traceOf(run);
    const perEpoch = stepsPerEpoch(examples, run.batchSize);
    const definition = findMethod(method.name);
    const length = { totalSteps: perEpoch * run.epochs, stepsPerEpoch: perEpoch };
    scheduleFor(definition, method.options, definition.adapt(method.options, sites), length);
  }

  #traceOf({ model = BUNDLED_MODEL, revision, offline }: RunConfig["run"]): Promise<ModelTrace> {
    const key = JSON.stringify([model, revision]);
    const known = this.#traces.get(key);
    if (known) return known;
    const trace = (async () => {
      const folder = model === BUNDLED_MODEL ? modelDirectory(model) : await resolveModel(model, { revision, offline });
      const description = describeModel(await readFolderConfig(folder));
      return traceModel(description, description.config.labelCount, defaultHead(description.architecture));
    })();
    this.#traces.set(key, trace);
    return trace;
  }
}
