import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Arguments of Node that start aflora: what was built, where it is as new as the sources, else the sources themselves. */
const PROGRAM = ((): string[] => {
  const changed = (file: string): number => statSync(join(ROOT, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const built = "dist/cli/main.js";
  if (sources.every((file) => changed(join("src", file)) <= changed(built))) return [join(ROOT, built)];
  return [
    "--import",
    new URL("../../node_modules/tsx/dist/loader.mjs", import.meta.url).href,
    join(ROOT, "src/cli/main.ts"),
  ];
})();

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A running `aflora`. */
export class Aflora {
  readonly process: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  #stdout = "";
  #stderr = "";

  /** @param shell what to do in the shell before, such as setting limits */
  constructor(args: readonly string[], cwd: string, { shell }: { shell?: string } = {}) {
    const command = [process.execPath, ...PROGRAM, ...args];
    this.process = shell
      ? spawn("sh", ["-c", `${shell}; exec "$@"`, "sh", ...command], { cwd })
      : spawn(command[0]!, command.slice(1), { cwd });
    this.process.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
    });
    this.process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      this.process.on("error", reject).on("close", (code) => {
        resolve({ code, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  /** Waits until the process has said something on stderr; fails where it ends before. */
  async says(pattern: RegExp): Promise<void> {
    const said = new Promise<void>((resolve) => {
      const look = (): void => {
        if (pattern.test(this.#stderr)) resolve();
      };
      this.process.stderr.on("data", look);
      look();
    });
    const end = this.ended.then(({ stderr }) => {
      if (!pattern.test(stderr)) throw new Error(`ended without ${pattern}: ${stderr}`);
    });
    await Promise.race([said, end]);
  }
}

/** Runs `aflora` to its end. @param input its stdin */
export function aflora(args: readonly string[], cwd: string, input = ""): Promise<Ended> {
  const running = new Aflora(args, cwd);
  running.process.stdin.end(input);
  return running.ended;
}
