import { basename, join } from "node:path";
import { z } from "zod";
import { reasonOf } from "../../checkpoints/hub-download-node.ts";
import { opt, UserError } from "../../errors.ts";
import { boundedFetch } from "../../files/bounded-fetch.ts";
import { readJsonFile, writeJsonFile } from "../../files/json-file-node.ts";
import { flatOptions } from "../../preparation/run-options-node.ts";
import type { MetricsRecord } from "../../training/training-records.ts";
import type { LoggedRun, RunEnd, RunLog } from "./run-log.ts";
import { scalarsOf } from "./scalars.ts";

/** File of a run folder that names the run on an MLflow server, so that a resumed run continues its log. */
export const MLFLOW = "mlflow.json";

const BOUNDS = { silence: 10_000, deadline: 10_000, maxBytes: 2 ** 20 };
const [MOST_METRICS, MOST_PARAMETERS, LONGEST_PARAMETER] = [1000, 100, 500];
/** Values that wait for a server that is away; the oldest are dropped. */
const MOST_WAITING = 100_000;
/** Milliseconds after which a server that was away is tried again. */
const RETRY = 10_000;
/** Milliseconds that the end of a run waits for the server. */
const LAST = 30_000;

const STATUS: Record<RunEnd, string> = { finished: "FINISHED", paused: "KILLED", failed: "FAILED" };

const experiment = z.object({ experiment: z.object({ experiment_id: z.string() }) });
const madeExperiment = z.object({ experiment_id: z.string() });
const madeRun = z.object({ run: z.object({ info: z.object({ run_id: z.string() }) }) });
const savedRun = z.object({ url: z.string(), runId: z.string() });

/** The server answered that it does not take a request, which a repetition would not change. */
class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

interface Metric {
  key: string;
  value: number | string;
  timestamp: number;
  step: number;
}

/**
 * Logs to an MLflow server by its REST API, in the background. If the server stops answering, the run continues, and the values wait.
 * The experiment and the account are those of the environment, as in MLflow's clients (`MLFLOW_EXPERIMENT_NAME`,
 * `MLFLOW_TRACKING_TOKEN`, `MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`).
 */
export async function openMlflow(url: string, run: LoggedRun): Promise<RunLog> {
  const server = new MlflowServer(url.replace(/\/+$/, ""));
  try {
    await server.experiment();
  } catch (error) {
    // A run that resumes has begun, and its values can wait.
    if (!run.resumes) {
      throw new UserError(
        `the MLflow server at ${server.url} does not accept the run (${reasonOf(error)}); check its address, or leave out ${opt("log")}`,
        { code: "network" },
      );
    }
  }
  return new MlflowLog(server, run);
}

class MlflowServer {
  readonly #headers: Record<string, string>;

  constructor(readonly url: string) {
    const {
      MLFLOW_TRACKING_TOKEN: token,
      MLFLOW_TRACKING_USERNAME: user,
      MLFLOW_TRACKING_PASSWORD: password = "",
    } = process.env;
    const basic = user && `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    const authorization = token ? `Bearer ${token}` : basic;
    this.#headers = { "Content-Type": "application/json", ...(authorization && { Authorization: authorization }) };
  }

  /** Sends a request. @param body undefined for a question @throws Refusal, or another error if there is no answer of MLflow */
  async ask<Answer = unknown>(path: string, body?: object, schema?: z.ZodType<Answer>): Promise<Answer> {
    const request = {
      ...{ method: body ? "POST" : "GET", headers: this.#headers },
      ...(body && { body: JSON.stringify(body) }),
    };
    const response = await boundedFetch(`${this.url}/api/2.0/mlflow/${path}`, request, BOUNDS);
    const text = await response.text();
    if (!response.ok) {
      const reason = `${response.status} ${response.statusText} ${text.slice(0, 200)}`.trim();
      throw response.status < 500 ? new Refusal(response.status, reason) : new Error(reason);
    }
    try {
      const answer = JSON.parse(text);
      return schema ? schema.parse(answer) : answer;
    } catch {
      throw new Error("its answer is not MLflow's");
    }
  }

  async experiment(): Promise<string> {
    const name = process.env.MLFLOW_EXPERIMENT_NAME;
    const by = name ? `get-by-name?experiment_name=${encodeURIComponent(name)}` : "get?experiment_id=0";
    try {
      return (await this.ask(`experiments/${by}`, undefined, experiment)).experiment.experiment_id;
    } catch (error) {
      if (!name || !(error instanceof Refusal) || error.status !== 404) throw error;
      return (await this.ask("experiments/create", { name }, madeExperiment)).experiment_id;
    }
  }
}

class MlflowLog implements RunLog {
  readonly #waiting: Metric[] = [];
  #runId: string | undefined;
  #sending: Promise<void> | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;
  readonly #said = new Set<string>();

  constructor(
    private readonly server: MlflowServer,
    private readonly run: LoggedRun,
  ) {}

  async begin(): Promise<void> {
    this.#send();
  }

  async take(record: MetricsRecord): Promise<void> {
    const { step, values } = scalarsOf(record);
    const timestamp = Date.now();
    for (const [key, value] of Object.entries(values)) {
      // JSON has no NaN; MLflow reads these words.
      this.#waiting.push({ key, value: Number.isFinite(value) ? value : String(value), timestamp, step });
    }
    if (this.#waiting.length > MOST_WAITING) this.#waiting.splice(0, this.#waiting.length - MOST_WAITING);
    this.#send();
  }

  async close(end: RunEnd): Promise<void> {
    await this.#sending;
    await this.#flush(Date.now() + LAST);
    const lost = this.#waiting.length;
    if (lost > 0) {
      this.run.onNote(`${lost} values did not reach the MLflow server at ${this.server.url}; metrics.jsonl has them`);
      return;
    }
    if (this.#runId === undefined) return;
    await this.#trying(() =>
      this.server.ask("runs/update", { run_id: this.#runId, status: STATUS[end], end_time: Date.now() }),
    );
  }

  #send(): void {
    if (this.#sending || Date.now() - this.#failedAt < RETRY) return;
    this.#sending = this.#flush(Number.POSITIVE_INFINITY).finally(() => {
      this.#sending = undefined;
    });
  }

  async #flush(until: number): Promise<void> {
    if (this.#runId === undefined && !(await this.#trying(() => this.#beginRun()))) return;
    while (this.#waiting.length > 0 && Date.now() < until) {
      const metrics = this.#waiting.slice(0, MOST_METRICS);
      const isTaken = await this.#trying(() => this.server.ask("runs/log-batch", { run_id: this.#runId, metrics }));
      if (!isTaken) return;
      this.#waiting.splice(0, metrics.length);
    }
  }

  /** @returns false if there was no answer. Values that the server refuses are given up: a repetition would be refused, too. */
  async #trying(request: () => Promise<unknown>): Promise<boolean> {
    try {
      await request();
      return true;
    } catch (error) {
      const { url } = this.server;
      const reason = reasonOf(error);
      if (error instanceof Refusal && this.#runId !== undefined) {
        this.#sayOnce("refused", `the MLflow server at ${url} refuses values (${reason}); metrics.jsonl has them`);
        return true;
      }
      this.#failedAt = Date.now();
      this.#sayOnce(
        "away",
        `the MLflow server at ${url} does not answer (${reason}); the run continues, and sends its values when the server is back`,
      );
      return false;
    }
  }

  #sayOnce(what: string, text: string): void {
    if (!this.#said.has(what)) this.run.onNote(text);
    this.#said.add(what);
  }

  async #continues(runId: string): Promise<boolean> {
    try {
      await this.server.ask("runs/update", { run_id: runId, status: "RUNNING" });
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return false;
    }
  }

  async #beginRun(): Promise<void> {
    const { directory, config, resumes } = this.run;
    const { url } = this.server;
    const place = join(directory, MLFLOW);
    const saved = resumes ? savedRun.safeParse(await readJsonFile(place)).data : undefined;
    if (saved?.url === url && (await this.#continues(saved.runId))) {
      this.#runId = saved.runId;
      return;
    }
    const asked = {
      experiment_id: await this.server.experiment(),
      run_name: basename(directory),
      start_time: Date.now(),
      tags: [{ key: "mlflow.source.name", value: "aflora" }],
    };
    const { run } = await this.server.ask("runs/create", asked, madeRun);
    const runId = run.info.run_id;
    await writeJsonFile(place, { url, runId });
    this.#runId = runId;
    const options = Object.entries(flatOptions(config)).slice(0, MOST_PARAMETERS);
    const params = options.map(([key, value]) => ({
      key,
      value: (typeof value === "string" ? value : JSON.stringify(value)).slice(0, LONGEST_PARAMETER),
    }));
    await this.server.ask("runs/log-batch", { run_id: runId, params });
  }
}
