/** Progress of a stage of a run: at its start and between its parts. */
export interface ProgressEvent {
  kind: "progress";
  /** Such as `reading tickets.csv` or `choosing the head's penalty`. */
  stage: string;
  /** Parts done in this stage. */
  done: number;
  /** Number of parts; undefined if it is not known, or the stage has no parts. Fewer may be enough. */
  total?: number | undefined;
  /** Such as `examples`. */
  unit: string;
}

/** Receives progress. A returned promise is awaited, so that a page or a server can answer in between. */
export type OnProgress = (progress: ProgressEvent) => void | Promise<void>;

export type TellDone = (done: number, total?: number) => void | Promise<void>;

export const stageProgress =
  (onProgress: OnProgress | undefined, stage: string, unit = "examples"): TellDone =>
  (done, total) =>
    onProgress?.({ kind: "progress", stage, done, total, unit });

/** Reason for which work ends if its receiver asks for no further event. */
const LEFT = new Error("the receiver of the events has left");

/**
 * Yields what a piece of work emits while it runs, then returns its result. `emit` waits until the receiver asks for the next event; if the
 * receiver leaves, `emit` fails, which ends the work.
 */
export async function* emitted<Event, Result>(
  work: (emit: (event: Event) => Promise<void>) => Promise<Result>,
): AsyncGenerator<Event, Result> {
  const waiting: { event: Event; resolve: () => void; reject: (reason: Error) => void }[] = [];
  let [isOver, hasLeft] = [false, false];
  let wake = (): void => {};
  const emit = (event: Event): Promise<void> => {
    const taken = new Promise<void>((resolve, reject) => {
      if (hasLeft) reject(LEFT);
      else waiting.push({ event, resolve, reject });
    });
    // Work need not wait.
    taken.catch(() => {});
    wake();
    return taken;
  };
  const running = work(emit).finally(() => {
    isOver = true;
    wake();
  });
  running.catch(() => {});
  try {
    for (;;) {
      // It waits until the next one is asked for, because the receiver may leave instead.
      const [next] = waiting;
      if (next) {
        yield next.event;
        next.resolve();
        waiting.shift();
      } else if (isOver) return await running;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    hasLeft = true;
    for (const { reject } of waiting) reject(LEFT);
    await running.catch(() => {});
  }
}
