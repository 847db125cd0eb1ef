import type { Tensors } from "../../graph/tensor.ts";
import { AnswerRows, type PromptRows } from "./answer-rows.ts";
import type { CachedDecoder } from "./cached-decoder.ts";

interface Waiting {
  asked: PromptRows;
  isDone(): boolean;
  fail(error: unknown): void;
}

/**
 * Generates all concurrent answers of a model in parallel, for all callers. When an answer ends, the next prompt in the queue replaces
 * it (continuous batching, Yu et al., Orca, OSDI 2022).
 */
export class SharedWriter {
  readonly #waiting: Waiting[] = [];
  #isWriting = false;

  constructor(
    private readonly decoder: CachedDecoder,
    private readonly adapter: Tensors,
    private readonly most: number,
  ) {}

  async write(asked: readonly PromptRows[]): Promise<void> {
    const all = asked.map(
      ({ prompt, rows }) =>
        new Promise<void>((resolve, reject) => {
          let left = rows.length;
          const onEnd = (): void => {
            left--;
            if (left === 0) resolve();
          };
          const counted = rows.map((row) => ({
            ...row,
            onEnd() {
              row.onEnd?.();
              onEnd();
            },
          }));
          this.#waiting.push({ asked: { prompt, rows: counted }, isDone: () => left === 0, fail: reject });
        }),
    );
    if (!this.#isWriting) void this.#run();
    await Promise.all(all);
  }

  /** Removes abandoned prompts from the queue, so that they are not read. */
  #dropAbandoned(): void {
    while (this.#waiting[0]?.asked.rows.every((row) => row.ended())) {
      for (const row of this.#waiting.shift()!.asked.rows) row.onEnd?.();
    }
  }

  async #run(): Promise<void> {
    this.#isWriting = true;
    const reader = this.decoder.reader(this.adapter);
    const rows = new AnswerRows(reader);
    let begun: Waiting[] = [];
    try {
      for (;;) {
        this.#dropAbandoned();
        const [next] = this.#waiting;
        // Only one prompt begins at a time, because the other answers wait for it.
        const hasSpace = next && rows.count + next.asked.rows.length <= this.most && reader.join !== undefined;
        if (next && (rows.count === 0 || hasSpace)) {
          begun = [...begun.filter(({ isDone }) => !isDone()), this.#waiting.shift()!];
          await rows.begin([next.asked]);
        }
        if (rows.count === 0) return;
        await rows.step();
      }
    } catch (error) {
      for (const { fail } of [...begun, ...this.#waiting.splice(0)]) fail(error);
    } finally {
      reader.release();
      this.#isWriting = false;
    }
  }
}
