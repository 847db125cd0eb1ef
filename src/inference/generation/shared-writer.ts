import type { Tensors } from "../../graph/tensor.ts";
import { AnswerRows, type AskedPrompt } from "./answer-rows.ts";
import type { CachedDecoder } from "./cached-decoder.ts";

/** Prompts that wait for their answers. */
interface Waiting {
  asked: AskedPrompt;
  isDone(): boolean;
  /** Takes what went wrong. */
  fail(error: unknown): void;
}

/**
 * Writes all that is asked of a model at the same time side by side, whoever asks: where an answer ends, the next prompt that waits takes its
 * place (continuous batching, Yu et al., Orca, OSDI 2022).
 */
export class SharedWriter {
  readonly #decoder: CachedDecoder;
  readonly #adapter: Tensors;
  readonly #most: number;
  readonly #waiting: Waiting[] = [];
  #isWriting = false;

  /** @param most answers at once: each keeps keys and values of all its tokens */
  constructor(decoder: CachedDecoder, adapter: Tensors, most: number) {
    this.#decoder = decoder;
    this.#adapter = adapter;
    this.#most = most;
  }

  /** Writes the answers to prompts, which begin in this order. @throws what a run failed with */
  async write(asked: readonly AskedPrompt[]): Promise<void> {
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

  /** Takes out who waits no more: no prompt of theirs is read. */
  #dropLeft(): void {
    while (this.#waiting[0]?.asked.rows.every((row) => row.ended())) {
      for (const row of this.#waiting.shift()!.asked.rows) row.onEnd?.();
    }
  }

  async #run(): Promise<void> {
    this.#isWriting = true;
    const reader = this.#decoder.reader(this.#adapter);
    const rows = new AnswerRows(reader);
    let begun: Waiting[] = [];
    try {
      for (;;) {
        this.#dropLeft();
        const [next] = this.#waiting;
        // One at a time begins: the others' next tokens wait for its prompt.
        const isRoom = next && rows.count + next.asked.rows.length <= this.#most && reader.join !== undefined;
        if (next && (rows.count === 0 || isRoom)) {
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
