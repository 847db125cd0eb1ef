/** Signals that ask a process to end: Ctrl-C, a system that shuts down, a terminal that is closed. */
export const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Milliseconds in which one event may come as several signals: a terminal's, and once more by npx or a shell. */
const ONE_EVENT = 1000;

/**
 * Tells of the first signal that asks this process to end. Later ones are the system's to act on, also while a
 * computation keeps the thread: they end the process.
 * @returns what ends the listening
 */
export function onStopSignal(asked: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    clearTimeout(timer);
    for (const signal of SIGNALS) process.off(signal, listen);
  };
  const listen = (): void => {
    if (timer) return;
    timer = setTimeout(stop, ONE_EVENT).unref();
    asked();
  };
  for (const signal of SIGNALS) process.on(signal, listen);
  return stop;
}

/** Waits for Ctrl-C, or what else ends a program. */
export async function untilStopSignal(): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of SIGNALS) process.once(signal, () => resolve());
  });
}
