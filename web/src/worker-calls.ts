import { UserError } from "../../src/errors.ts";

export type Handlers = Record<string, (...given: never[]) => unknown>;

type Events = object;

interface Call {
  id: number;
  name: string;
  given: unknown[];
}

type Message<Told> =
  | { id: number; value: unknown }
  | { id: number; failed: string; mendable: boolean }
  | { told: Told };

export function answerCalls(handlers: Handlers): void {
  self.addEventListener("message", async ({ data: { id, name, given } }: MessageEvent<Call>) => {
    try {
      self.postMessage({ id, value: await handlers[name]!(...(given as never[])) });
    } catch (error) {
      const failed = error instanceof Error ? error.message : String(error);
      self.postMessage({ id, failed, mendable: error instanceof UserError });
    }
  });
}

export function tellPage(told: Events): void {
  self.postMessage({ told });
}

export type Called<Of extends Handlers> = {
  [Name in keyof Of]: (...given: Parameters<Of[Name]>) => Promise<Awaited<ReturnType<Of[Name]>>>;
};

/**
 * Calls a worker's functions. Their errors are thrown here; a UserError stays one.
 * @param onTold receives the worker's events
 */
export function callsTo<Of extends Handlers, Told extends Events = never>(
  worker: Worker,
  onTold: (told: Told) => void = () => {},
): Called<Of> {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let calls = 0;
  worker.addEventListener("message", ({ data }: MessageEvent<Message<Told>>) => {
    if ("told" in data) return onTold(data.told);
    const caller = waiting.get(data.id);
    waiting.delete(data.id);
    if ("failed" in data) caller?.reject(data.mendable ? new UserError(data.failed) : new Error(data.failed));
    else caller?.resolve(data.value);
  });
  worker.addEventListener("error", ({ message }) => {
    for (const { reject } of waiting.values()) reject(new Error(message));
    waiting.clear();
  });
  return new Proxy({} as Called<Of>, {
    get:
      (_, name: string) =>
      (...given: unknown[]) =>
        new Promise((resolve, reject) => {
          const id = ++calls;
          waiting.set(id, { resolve, reject });
          worker.postMessage({ id, name, given });
        }),
  });
}
