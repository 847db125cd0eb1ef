import type { FreezingCheck } from "../methods/freezing/controller.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import type { Batches } from "./batches/batch-order.ts";
import { singleTexts } from "./batches/single-texts.ts";
import { BoundaryStates } from "./frozen-blocks/boundary-states.ts";
import { advance } from "./local-steps/replica.ts";
import type { ReplicaRunner } from "./other-machines.ts";
import type { Rollout } from "./rollout.ts";
import { type StepOutcome, TrainingStep } from "./step.ts";
import { keptStates, stepOf, type TrainOptions } from "./train-options.ts";
import type { TrainingState } from "./training-state.ts";

interface Compiled {
  step: TrainingStep;
  advance: ReplicaRunner;
}

/** The training step for the parameters that train now. It is compiled again when they change. */
export class CurrentStep {
  readonly #compile: () => Promise<Compiled>;
  readonly #boundaryStates: BoundaryStates | undefined;
  readonly #rollout: Rollout | undefined;

  private constructor(
    private now: Compiled,
    compile: () => Promise<Compiled>,
    { boundaryStates, rollout }: { boundaryStates: BoundaryStates | undefined; rollout: Rollout | undefined },
  ) {
    this.#compile = compile;
    this.#boundaryStates = boundaryStates;
    this.#rollout = rollout;
  }

  /** Compiles the step. The schedule determines which parameters train, now and at each later compilation. */
  static async compile(options: TrainOptions): Promise<CurrentStep> {
    const { schedule, weights, runtime, settings, openSpill, rollout, machines } = options;
    const { model, objective } = stepOf(options);
    const { spills, ...kept } = keptStates(settings);
    const { tokenBudget } = settings;
    const spill = spills ? openSpill : undefined;
    const boundaryStates =
      schedule.frozenBlocks && new BoundaryStates(model, weights, runtime, { ...kept, tokenBudget, openSpill: spill });
    const isLocal = settings.localSteps !== undefined;
    const compile = async (): Promise<Compiled> => {
      const now = { ...model, trainable: schedule.trainable(), frozenBlocks: schedule.frozenBlocks?.() };
      const others = isLocal ? undefined : machines;
      const step = await TrainingStep.compile(now, weights, runtime, {
        objective,
        ...settings,
        boundaryStates,
        machines: others,
      });
      const here: ReplicaRunner = async function* (replicas, signal) {
        for (const replica of replicas) yield await advance(step, weights, replica, signal);
      };
      return { step, advance: isLocal && machines ? machines.shareReplicas(now, weights, step) : here };
    };
    return new CurrentStep(await compile(), compile, { boundaryStates, rollout });
  }

  get kept(): { memory: number; file: number } {
    return this.#boundaryStates?.largest ?? { memory: 0, file: 0 };
  }

  /** Notes for the user, such as hidden states that could not be cached, or rewards that failed. */
  get notes(): string[] {
    const note = this.#boundaryStates?.note;
    return [...(note === undefined ? [] : [note]), ...(this.#rollout?.notes ?? [])];
  }

  async restore(batches: Batches<TrainingExample>, { step: done, blocksFrozenAtStep }: TrainingState): Promise<void> {
    const [first = done] = blocksFrozenAtStep;
    for (let step = first + 1; step < done; step++) {
      const { examples, ahead } = batches.at(step);
      const boundary = blocksFrozenAtStep.filter((frozenAt) => frozenAt < step).length;
      await this.#boundaryStates?.reserve(singleTexts(examples), boundary, () => singleTexts(ahead()));
    }
  }

  async run(...[step, examples, signal, ahead]: Parameters<TrainingStep["run"]>): Promise<StepOutcome> {
    const written = await this.#rollout?.examplesFor(step, examples, signal);
    const outcome = await this.now.step.run(step, written?.examples ?? examples, signal, ahead);
    return { ...outcome, ...(written && { rollout: written.record }) };
  }

  advance(...given: Parameters<ReplicaRunner>): ReturnType<ReplicaRunner> {
    return this.now.advance(...given);
  }

  /**
   * Compiles the step again if a check froze something. A matrix that freezes at a step takes part in it, and is absent from the next.
   * The old step is released only after the new one is compiled, so that after a failure one step is left to release.
   */
  async compileAfter({ frozen, blocks }: FreezingCheck): Promise<number> {
    if (frozen.length === 0 && !blocks?.frozenBlocks) return 0;
    const next = await this.#compile();
    await this.now.step.release();
    this.now = next;
    return next.step.compileSeconds;
  }

  async release(): Promise<void> {
    await this.now.step.release();
    await this.#boundaryStates?.release();
    await this.#rollout?.release();
  }
}
