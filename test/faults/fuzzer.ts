import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { FuzzMessage } from "./fuzz-worker.ts";

/** Milliseconds after which an input hangs: a busy machine may take long for what computes less than five seconds. */
const PATIENCE = 60_000;
/** Bytes beyond what the process had that an input of a few kilobytes may take. */
const MEMORY = 64 * 2 ** 20;

const READERS = [
  ...["safetensors", "config", "tokenizer", "vocabulary", "sentence pieces", "adapter", "PEFT", "checkpoint"],
  ...["GGUF", "pickle", "table", "parquet", "YAML", "records"],
];
/** Those that are given files made by their formats' grammars (`grammars.ts`). */
const OF_GRAMMARS = ["tokenizer", "GGUF", "safetensors", "chat template", "job"].map((name) => `${name} grammar`);
/** The same for what a grammar makes: a text that grows is refused only when it is long. */
const MEMORY_OF_GRAMMAR = 300 * 2 ** 20;
/** Fewer inputs than this are read in one process, which takes longer to start. */
const FEW = 100;

/**
 * Gives readers damaged and made-up files.
 * @param reader one of them, all, or grammars for those whose files are made by a grammar
 * @returns what was done, a line each
 * @throws where one crashes, hangs, throws an error without a type, or takes memory without measure.
 */
export async function fuzzReaders({
  count,
  seed,
  reader,
}: {
  count: number;
  seed: number;
  reader: string;
}): Promise<string> {
  const lines: string[] = [];
  const wrong: string[] = [];
  const names = { all: READERS, grammars: OF_GRAMMARS }[reader] ?? [reader];
  for (const together of count < FEW ? [names] : names.map((name) => [name])) {
    const { done, found } = await fuzzInProcess(together, count, seed);
    lines.push(...done);
    wrong.push(...found);
  }
  if (wrong.length > 0) throw new Error(`${wrong.length} wrong:\n${wrong.join("\n")}\n${lines.join("\n")}`);
  return lines.join("\n");
}

/** Has some readers given their files in a process of its own. @returns a line for each that came to its end, and what was wrong */
function fuzzInProcess(
  readers: readonly string[],
  count: number,
  seed: number,
): Promise<{ done: string[]; found: string[] }> {
  const ofGrammar = readers.every((name) => OF_GRAMMARS.includes(name));
  const worker: ChildProcess = fork(
    fileURLToPath(new URL("fuzz-worker.ts", import.meta.url)),
    [String(count), String(seed), ...readers],
    { execArgv: ["--import", "tsx", `--max-old-space-size=${ofGrammar ? 512 : 256}`], silent: true },
  );
  const found = new Set<string>();
  const done: string[] = [];
  let errors = "";
  worker.stderr!.on("data", (text) => {
    errors = (errors + text).slice(-2000);
  });
  let last = "before the first input";
  let watch: NodeJS.Timeout | undefined;
  const hangs = (): void => {
    found.add(`${last}: longer than ${PATIENCE} ms`);
    worker.kill("SIGKILL");
  };
  worker.on("message", (message: FuzzMessage) => {
    clearTimeout(watch);
    if ("begins" in message) {
      last = `${message.reader}, input ${message.begins} of seed ${seed}`;
      watch = setTimeout(hangs, PATIENCE);
    } else if ("wrong" in message) found.add(message.wrong);
    else {
      const { reader } = message;
      const { read, refused, growth, slowest } = message.done;
      done.push(
        `${reader}: ${count} inputs, ${read} read, ${refused} refused in a sentence, ${Math.ceil(growth / 2 ** 20)} MiB more memory, ${slowest.toFixed(1)} s at most`,
      );
      if (growth > (ofGrammar ? MEMORY_OF_GRAMMAR : MEMORY)) found.add(`${reader}: ${growth} bytes more memory`);
    }
  });
  return new Promise((resolve) => {
    worker.on("exit", (code, signal) => {
      clearTimeout(watch);
      if (done.length < readers.length) found.add(`${last}: ${code ?? signal} ${errors}`);
      resolve({ done, found: [...found] });
    });
  });
}
