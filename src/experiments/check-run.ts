import { resolveModel } from "../checkpoints/hub-node.ts";
import { readFolderConfig } from "../checkpoints/model-folder-node.ts";
import { BUNDLED_MODEL } from "../finetuning/bundled-model.ts";
import { modelDirectory } from "../finetuning/load-base-model-node.ts";
import { runSchedule } from "../finetuning/run-schedule.ts";
import { findMethod } from "../methods/methods.ts";
import { describeModel, type ModelDescription } from "../models/families.ts";
import { defaultHead, type ModelTrace, traceModel } from "../models/trace.ts";
import type { RunConfig } from "../runs/run-config.ts";
import { stepsPerEpoch } from "../training/batch-order.ts";

/** Checks runs before they start, from their options alone; models that were looked at are remembered. */
export class RunChecker {
  readonly #models = new Map<string, Promise<KnownModel>>();

  /**
   * Layers, ranks and schedules of a run, without weights.
   * @param examples that it trains on
   * @throws UserError where they cannot work
   */
  async check({ run, method }: RunConfig, examples: number): Promise<void> {
    const { description, trace } = await this.#modelOf(run);
    const perEpoch = stepsPerEpoch(examples, run.batchSize);
    const length = { totalSteps: perEpoch * run.epochs, stepsPerEpoch: perEpoch };
    const model = {
      ...description,
      adaptation: findMethod(method.name).adapt(method.options, trace.sites),
      labelCount: description.config.labelCount,
      head: defaultHead(description.architecture),
      trainsHead: () => true,
    };
    runSchedule(method, { model, trace, settings: run }, length);
  }

  #modelOf({ model = BUNDLED_MODEL, revision, offline }: RunConfig["run"]): Promise<KnownModel> {
    const key = JSON.stringify([model, revision]);
    const known = this.#models.get(key);
    if (known) return known;
    const found = (async () => {
      const folder = model === BUNDLED_MODEL ? modelDirectory(model) : await resolveModel(model, { revision, offline });
      const description = describeModel(await readFolderConfig(folder));
      const head = defaultHead(description.architecture);
      return { description, trace: traceModel(description, description.config.labelCount, head) };
    })();
    this.#models.set(key, found);
    return found;
  }
}

interface KnownModel {
  description: ModelDescription;
  trace: ModelTrace;
}
