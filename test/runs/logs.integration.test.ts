import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { decodeMessage } from "../../src/graph/protobuf-message.ts";
import type { RunEvent } from "../../src/runs/fine-tune-events.ts";
import { EVENT, tfRecord } from "../../src/runs/logs/tensorboard.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let options: Record<string, unknown>;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-logs-"));
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  const data = { train, text: "message", label: "team" };
  options = { model, ...data, method: "lora", epochs: 2, batchSize: 16, threads: 1 };
});
afterAll(() => rm(home, { recursive: true }));

interface Logged {
  status: string;
  metrics: { key: string; value: number; step: number }[];
  params: Record<string, string>;
}

/** A server on 127.0.0.1 that answers as MLflow's tracking server does. */
class Mlflow {
  readonly experiments = new Map([["Default", "0"]]);
  readonly runs = new Map<string, Logged>();
  readonly tokens = new Set<string | undefined>();
  readonly #server: Server = createServer(async (request, answer) => {
    const body = JSON.parse((await text(request)) || "{}");
    const { pathname, searchParams } = new URL(request.url!, "http://127.0.0.1");
    this.tokens.add(request.headers.authorization);
    const [status, value] = this.#answer(pathname.replace("/api/2.0/mlflow/", ""), searchParams, body);
    answer.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
  });

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #answer(path: string, query: URLSearchParams, body: Record<string, string>): [number, object] {
    if (path === "experiments/get") return [200, { experiment: { experiment_id: query.get("experiment_id") } }];
    if (path === "experiments/get-by-name") {
      const id = this.experiments.get(query.get("experiment_name")!);
      return id === undefined
        ? [404, { error_code: "RESOURCE_DOES_NOT_EXIST" }]
        : [200, { experiment: { experiment_id: id } }];
    }
    if (path === "experiments/create") {
      this.experiments.set(body.name!, String(this.experiments.size));
      return [200, { experiment_id: this.experiments.get(body.name!) }];
    }
    if (path === "runs/create") {
      const id = `run-${this.runs.size}-of-${body.experiment_id}`;
      this.runs.set(id, { status: "RUNNING", metrics: [], params: {} });
      return [200, { run: { info: { run_id: id } } }];
    }
    const run = this.runs.get(body.run_id!);
    if (!run) return [404, { error_code: "RESOURCE_DOES_NOT_EXIST" }];
    const { metrics = [], params = [] } = body as unknown as {
      metrics?: Logged["metrics"];
      params?: { key: string; value: string }[];
    };
    run.metrics.push(...metrics);
    for (const { key, value } of params) run.params[key] = value;
    if (path === "runs/update") run.status = body.status!;
    return [200, {}];
  }
}

const mlflow = new Mlflow();
beforeAll(() => mlflow.start());
afterAll(() => mlflow.stop());
afterEach(() => {
  vi.unstubAllEnvs();
});

interface TensorBoardEvent {
  step?: number;
  fileVersion?: string;
  summary?: { value: { tag: string; simpleValue: number }[] };
  sessionLog?: { status: number };
}

/** The events of each file that TensorBoard would read, in order. */
async function tensorBoardEvents(run: string): Promise<TensorBoardEvent[][]> {
  const folder = join(run, "tensorboard");
  const files = await Promise.all((await readdir(folder)).sort().map((name) => readFile(join(folder, name))));
  return files.map((bytes) => {
    const events: TensorBoardEvent[] = [];
    for (let start = 0; start < bytes.length; ) {
      const length = Number(bytes.readBigUInt64LE(start));
      const content = bytes.subarray(start + 12, start + 12 + length);
      expect(bytes.subarray(start, start + 16 + length)).toEqual(tfRecord(content));
      events.push(decodeMessage(EVENT, content));
      start += 16 + length;
    }
    return events;
  });
}

test("a record of TensorBoard has the published checksum of its content, masked", () => {
  // CRC-32C of "123456789" is 0xE3069283 (RFC 3720).
  const masked = (((0xe3069283 >>> 15) | (0xe3069283 << 17)) + 0xa282ead8) >>> 0;
  expect(Buffer.from(tfRecord(Buffer.from("123456789"))).readUInt32LE(12 + 9)).toBe(masked);
});

test("a run that is paused and resumed has one log in TensorBoard and in MLflow", async () => {
  vi.stubEnv("MLFLOW_EXPERIMENT_NAME", "tickets");
  vi.stubEnv("MLFLOW_TRACKING_TOKEN", "secret");
  const output = join(home, "both");
  await fineTune({ ...options, output, log: `tensorboard,mlflow=${mlflow.url}/` }, { stopAfter: 1 });
  const [[id, logged]] = [...mlflow.runs] as [[string, Logged]];
  expect(id).toBe("run-0-of-1");
  expect(logged.status).toBe("KILLED");
  await fineTune({ output }, { resume: true });

  const { steps, evaluations } = await readRunRecords(output);
  expect([mlflow.runs.size, logged.status]).toEqual([1, "FINISHED"]);
  expect(logged.params).toMatchObject({ method: "lora", epochs: "2", batchSize: "16" });
  const of = (key: string) => logged.metrics.filter((metric) => metric.key === key);
  expect(of("train/loss").map(({ step, value }) => [step, value])).toEqual(
    steps.map(({ step, loss }) => [step + 1, loss]),
  );
  expect(of("eval/accuracy").map(({ step, value }) => [step, value])).toEqual(
    evaluations.map(({ step, metrics }) => [step, metrics.accuracy]),
  );
  expect([...mlflow.tokens]).toEqual(["Bearer secret"]);

  const files = await tensorBoardEvents(output);
  expect(files.map(([first]) => first!.fileVersion)).toEqual(files.map(() => "brain.Event:2"));
  const events = files.flat();
  expect(events.filter(({ sessionLog }) => sessionLog).map(({ step }) => step)).toEqual([steps.length / 2]);
  const rates = events.flatMap(({ step, summary }) =>
    (summary?.value ?? []).filter(({ tag }) => tag === "train/learning_rate").map((each) => [step, each.simpleValue]),
  );
  expect(rates).toEqual(steps.map(({ step, learningRate }) => [step + 1, Math.fround(learningRate)]));
});

test("a resumed run whose run on the server was deleted begins another there", async () => {
  const server = new Mlflow();
  await server.start();
  const { url } = server;
  const output = join(home, "deleted");
  await fineTune({ ...options, output, log: `mlflow=${url}` }, { stopAfter: 1 });
  server.runs.clear();
  const notes: string[] = [];
  await fineTune(
    { output },
    { resume: true, onEvent: (event) => void (event.kind === "note" && notes.push(event.text)) },
  );
  server.stop();
  const [[id, logged]] = [...server.runs] as [[string, Logged]];
  expect(logged.status).toBe("FINISHED");
  expect(logged.metrics.some(({ key }) => key === "train/loss")).toBe(true);
  expect(notes.filter((note) => note.includes("MLflow"))).toEqual([]);
  expect(JSON.parse(await readFile(join(output, "mlflow.json"), "utf8"))).toEqual({ url, runId: id });
});

test("a server that goes away does not end the run, and the run says it once", async () => {
  const server = new Mlflow();
  await server.start();
  const said: RunEvent[] = [];
  const output = join(home, "alone");
  const { result } = await fineTune(
    { ...options, output, log: `mlflow=${server.url}` },
    {
      onEvent(event) {
        if (event.kind === "step" && event.step === 1) server.stop();
        if (event.kind === "note" && event.text.includes("MLflow")) said.push(event);
      },
    },
  );
  expect(result).toBeDefined();
  expect(said).toEqual([
    { kind: "note", text: expect.stringMatching(/does not answer \(.+\); the run continues, and sends its values/) },
    {
      kind: "note",
      text: expect.stringMatching(/^\d+ values did not reach the MLflow server .*metrics\.jsonl has them$/),
    },
  ]);
});

test.each([
  ["wandb", /option "log": give tensorboard, mlflow=http:\/\/HOST:PORT, or both with a comma between/],
  ["mlflow=http://user:password@127.0.0.1:1", /option "log": give tensorboard/],
  [
    "mlflow=http://127.0.0.1:1",
    /the MLflow server at http:\/\/127.0.0.1:1 does not accept the run \(.+\); check its address/,
  ],
])("refused before anything is written: %s", async (log, message) => {
  const output = join(home, "refused");
  await expect(fineTune({ ...options, output, log })).rejects.toThrow(message);
  expect(existsSync(output)).toBe(false);
});
