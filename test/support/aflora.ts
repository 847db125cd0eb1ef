import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

/** The command line that starts aflora, as it was built. */
export const AFLORA: readonly string[] = [
  process.execPath,
  fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url)),
];

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

  /**
   * @param shell what to do in the shell before, such as setting limits
   * @param env variables of its own
   */
  constructor(
    args: readonly string[],
    cwd: string,
    { shell, env = {} }: { shell?: string; env?: Readonly<Record<string, string>> } = {},
  ) {
    const command = [...AFLORA, ...args];
    const options = { cwd, env: { ...process.env, ...env } };
    this.process = shell
      ? spawn("sh", ["-c", `${shell}; exec "$@"`, "sh", ...command], options)
      : spawn(command[0]!, command.slice(1), options);
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
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const said = new Promise<RegExpExecArray>((resolve) => {
      const look = (): void => {
        const found = pattern.exec(this.#stderr);
        if (found) resolve(found);
      };
      this.process.stderr.on("data", look);
      look();
    });
    const end = this.ended.then(({ stderr }) => {
      const found = pattern.exec(stderr);
      if (!found) throw new Error(`ended without ${pattern}: ${stderr}`);
      return found;
    });
    return Promise.race([said, end]);
  }
}

/** Runs `aflora` to its end. @param input its stdin; `env`: variables of its own */
export function aflora(
  args: readonly string[],
  cwd: string,
  { input = "", env = {} }: { input?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<Ended> {
  const running = new Aflora(args, cwd, { env });
  running.process.stdin.end(input);
  return running.ended;
}

/** Runs `aflora` to its end within this process, which is quicker than starting one, and says the same. */
export async function afloraHere(args: readonly string[], cwd: string): Promise<Ended> {
  const { runCommandLine } = await import("../../src/cli/program.ts");
  const [before, written] = [process.cwd(), { stdout: "", stderr: "" }];
  const writes = (["stdout", "stderr"] as const).map((name) => {
    const { write } = process[name];
    process[name].write = (text: string | Uint8Array) => {
      written[name] += text;
      return true;
    };
    return () => {
      process[name].write = write;
    };
  });
  process.chdir(cwd);
  try {
    await runCommandLine(args);
    return { code: Number(process.exitCode ?? 0), ...written };
  } finally {
    for (const restore of writes) restore();
    process.chdir(before);
    process.exitCode = undefined;
  }
}

/** Expects that a command refused its input with one sentence, at most after the line that says what it reads. */
export function expectRefusal({ code, stderr }: Pick<Ended, "code" | "stderr">, message: RegExp): void {
  expect(stderr).toMatch(message);
  const lines = stderr.trim().split("\n");
  expect(lines.filter((line) => !line.startsWith("reading "))).toHaveLength(1);
  expect(code).toBe(2);
}
