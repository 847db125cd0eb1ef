import type { z } from "zod";
import type { runOptions } from "../fine-tuning/run-options-node.ts";
import type { WithMethod } from "../methods/method-options.ts";
import type { TaskOptions } from "../tasks/task-options.ts";

/** Options of a run and of its kind of task, whatever its method; `aflora train --help` describes each. Only the data must be given. */
export type RunOptions = Omit<z.input<typeof runOptions> & TaskOptions, "method">;

/** What to fine-tune on what and how: options of a run, a method (`aflora` where absent) and the method's own options. */
export type FineTuneConfig = WithMethod<RunOptions>;
