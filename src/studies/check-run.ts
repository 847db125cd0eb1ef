import type { ModelDescription } from "../architectures/families.ts";
import type { Pooling } from "../architectures/pooling.ts";
import { defaultHead, type ModelTrace, traceModel } from "../architectures/trace.ts";
import { readPooling } from "../base-models/base-model.ts";
import { BUNDLED_MODEL } from "../base-models/bundled-model.ts";
import { describeModelAt } from "../base-models/describe-model-node.ts";
import { resolveModelFolder } from "../base-models/load-base-model-node.ts";
import { modelFiles } from "../checkpoints/model-folder-node.ts";
import { findMethod } from "../methods/methods.ts";
import { type RunConfig, resolveConfig, resolveFor } from "../preparation/run-options-node.ts";
import { runSchedule } from "../preparation/run-schedule.ts";
import type { TaskData } from "../tasks/example.ts";
import { runLength } from "../training/batches/batch-order.ts";
import { AsyncMemo } from "./async-memo.ts";

export class RunChecker {
  readonly #models = new AsyncMemo<KnownModel>();

  /**
   * Checks the layers, ranks and schedules of a run, without loading weights.
   * @param examples number of training examples
   */
  async check({ run, method }: RunConfig, examples: number): Promise<void> {
    const { description, trace } = await this.#modelOf(run);
    const model = {
      ...description,
      adaptation: findMethod(method.name).adapt(method.options, trace.modules),
      labelCount: description.config.labelCount,
      head: defaultHead(description.architecture),
      trainsHead: () => true,
    };
    runSchedule(method, { model, settings: run }, runLength(run, examples));
  }

  async resolve(given: Readonly<Record<string, unknown>>, task: TaskData): Promise<RunConfig> {
    const { description, pooling } = await this.#modelOf(resolveConfig(given).run);
    return resolveFor(given, task, { ...description, pooling });
  }

  #modelOf({ model = BUNDLED_MODEL, revision, offline }: RunConfig["run"]): Promise<KnownModel> {
    const key = JSON.stringify([model, revision]);
    return this.#models.get(key, async () => {
      const folder = await resolveModelFolder(model, { revision, offline });
      const { description } = await describeModelAt(folder);
      const head = defaultHead(description.architecture);
      const pooling = await readPooling(await modelFiles(folder));
      return {
        pooling,
        description,
        trace: traceModel(description, description.config.labelCount, head),
      };
    });
  }
}

interface KnownModel {
  pooling: Pooling;
  description: ModelDescription;
  trace: ModelTrace;
}
