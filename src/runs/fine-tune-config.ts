import type { z } from "zod";
import type { WithMethod } from "../methods/method-options.ts";
import type { runOptions } from "./run-config.ts";

/** Options of a run, whatever its method; `aflora train --help` describes each. Only the data must be given. */
export type RunOptions = Omit<z.input<typeof runOptions>, "method">;

/** What to fine-tune on what and how: options of a run, a method (`aflora` where absent) and the method's own options. */
export type FineTuneConfig = WithMethod<RunOptions>;
