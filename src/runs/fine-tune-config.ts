import type { z } from "zod";
import type { runOptions } from "../fine-tuning/run-options-node.ts";
import type { WithMethod } from "../methods/method-options.ts";
import type { TaskOptions } from "../tasks/task-options.ts";

/** Options of a run and its kind of task, for every method; `aflora train --help` describes each. Only the data is required. */
export type RunOptions = Omit<z.input<typeof runOptions> & TaskOptions, "method">;

/** Options of a run, a method (default: `aflora`), and the method's options. */
export type FineTuneConfig = WithMethod<RunOptions>;
