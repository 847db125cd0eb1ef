/** A computation that pauses every few milliseconds, so that its caller can do other work. */
export type Sliced<Found> = Generator<void, Found>;

const SLICE = 20;

/** Runs a computation in slices, between which timers, signals and other requests run. */
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

export function atOnce<Found>(computing: Sliced<Found>): Found {
  for (;;) {
    const { done, value } = computing.next();
    if (done) return value;
  }
}
