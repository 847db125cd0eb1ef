/** Signals that ask a process to end: Ctrl-C, a system shutdown, a closed terminal. */
export const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Milliseconds in which one event may arrive as several signals: from the terminal, and again from npx or a shell. */
const ONE_EVENT = 1000;

/**
 * Calls `asked` at the first signal that asks this process to end. Later signals get the system's default action and end the process,
 * even
 * while a computation blocks the thread.
 * @returns a function that stops listening
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

/** Waits for Ctrl-C or another stop signal. */
export async function untilStopSignal(): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of SIGNALS) process.once(signal, () => resolve());
  });
}
