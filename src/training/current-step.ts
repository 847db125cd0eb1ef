import type { FreezingCheck } from "../methods/freezing/controller.ts";
import { BoundaryStates } from "./frozen-blocks/boundary-states.ts";
import { advance } from "./local-steps/replica.ts";
import type { ReplicaRunner } from "./other-machines.ts";
import type { Rollout } from "./rollout.ts";
import { type StepOutcome, TrainingStep } from "./step.ts";
import { keptStates, stepOf, type TrainOptions } from "./train-options.ts";

/** A step as it is now, and who takes it for replicas. */
interface Compiled {
  step: TrainingStep;
  advance: ReplicaRunner;
}

/** The training step for what trains now, compiled again when that changes. */
export class CurrentStep {
  readonly #compile: () => Promise<Compiled>;
  readonly #borderStates: BoundaryStates | undefined;
  readonly #rollout: Rollout | undefined;
  #now: Compiled;

  private constructor(
    now: Compiled,
    compile: () => Promise<Compiled>,
    { boundaryStates, rollout }: { boundaryStates: BoundaryStates | undefined; rollout: Rollout | undefined },
  ) {
    this.#now = now;
    this.#compile = compile;
    this.#borderStates = boundaryStates;
    this.#rollout = rollout;
  }

  /** The schedule says what trains and what is frozen, now and whenever the step is compiled again. */
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

  /** Most bytes of hidden states that were kept of frozen blocks. */
  get kept(): { memory: number; file: number } {
    return this.#borderStates?.largest ?? { memory: 0, file: 0 };
  }

  /** What a person should know of it: that hidden states could not be kept, or rewards failed. */
  get notes(): string[] {
    const note = this.#borderStates?.note;
    return [...(note === undefined ? [] : [note]), ...(this.#rollout?.notes ?? [])];
  }

  /** A step on examples, or on what is written for them where they are prompts. */
  async run(...[step, examples, signal, ahead]: Parameters<TrainingStep["run"]>): Promise<StepOutcome> {
    const written = await this.#rollout?.examplesFor(step, examples, signal);
    const outcome = await this.#now.step.run(step, written?.examples ?? examples, signal, ahead);
    return { ...outcome, ...(written && { rollout: written.record }) };
  }

  /** Steps of replicas. */
  advance(...given: Parameters<ReplicaRunner>): ReturnType<ReplicaRunner> {
    return this.#now.advance(...given);
  }

  /**
   * Compiles the step again where a check froze something: what freezes at a step takes part in it, and is gone from the next one.
   * The old step goes only when the new one is there, so that a failure leaves one to release.
   * @returns seconds that it took; 0 where nothing froze
   */
  async compileAfter({ frozen, blocks }: FreezingCheck): Promise<number> {
    if (frozen.length === 0 && !blocks?.frozenBlocks) return 0;
    const next = await this.#compile();
    await this.#now.step.release();
    this.#now = next;
    return next.step.compileSeconds;
  }

  /** Frees the step's graphs, and what was kept; it can run no more. */
  async release(): Promise<void> {
    await this.#now.step.release();
    await this.#borderStates?.release();
    await this.#rollout?.release();
  }
}
