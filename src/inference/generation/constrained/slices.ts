/** A computation that pauses every few milliseconds: whoever runs it may do something else meanwhile. */
export type Sliced<Found> = Generator<void, Found>;

/** Milliseconds of computing after which others have a turn. */
const SLICE = 20;

/**
 * Runs a computation in slices: timers, signals and other requests have their turns between them.
 * @param ended asked after each turn: whether nobody waits for the result any more
 * @returns undefined if nobody waits any more
 */
export async function inSlices<Found>(
  computing: Sliced<Found>,
  ended: () => boolean = () => false,
): Promise<Found | undefined> {
  let until = performance.now() + SLICE;
  for (;;) {
    const { done, value } = computing.next();
    if (done) return value;
    if (performance.now() < until) continue;
    await new Promise((resolve) => setTimeout(resolve));
    if (ended()) return undefined;
    until = performance.now() + SLICE;
  }
}

/** Runs a computation without pauses. */
export function atOnce<Found>(computing: Sliced<Found>): Found {
  for (;;) {
    const { done, value } = computing.next();
    if (done) return value;
  }
}
