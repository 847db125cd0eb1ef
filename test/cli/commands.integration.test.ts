import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { Aflora, aflora, afloraHere, type Ended } from "../support/aflora.ts";
import { appearance } from "../support/appearance.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
/** Of the run that the other tests evaluate and predict with. */
let trained: Ended;

const words = (command: string): string[] => command.split(" ");

beforeAll(async () => {
  // By its real path, as the commands see it: macOS's tmpdir() is a link.
  home = await realpath(await mkdtemp(join(tmpdir(), "aflora-cli-")));
  await writeTinyModel(join(home, "model"));
  await writeCsv(join(home, "tickets.csv"), tickets());
  await writeFile(
    join(home, "run.yaml"),
    "method: aflora\nmodel: ./model\ntrain: tickets.csv\ntext: message\nlabel: team\nepochs: 9\nbatch-size: 7\nfreezeWindowed: false\ndropout: false\nhead-start: new\n",
  );
  trained = await aflora(
    words("train --config run.yaml --epochs 3 --learning_rate=0.01 --threads 1 --output run"),
    home,
  );
});
afterAll(() => rm(home, { recursive: true }));

describe("train", () => {
  test("prints the result on stdout and the progress on stderr, in plain lines without a terminal", async () => {
    const { code, stdout, stderr } = trained;
    expect(code, stderr).toBe(0);
    const { result } = await readRunRecords(join(home, "run"));
    expect(stdout).toContain(`best epoch ${result!.bestEpoch}: accuracy ${result!.metrics.accuracy!.toFixed(4)}`);
    expect(stdout).toContain(`run folder: ${join(home, "run")}\n`);
    expect(stderr).toMatch(/^epoch 0: accuracy [\d.]+ ± [\d.]+, macro_f1 [\d.]+ ± [\d.]+, loss [\d.]+$/m);
    expect(stderr).toMatch(
      /^step 18\/18 \| lr \S+ \| loss \S+ \| [\d,]+ tokens\/s \| 0\.0 s left \| accuracy \S+ \| peak \d+ MB \| \d+ trainable \| 4\/4 frozen$/m,
    );
    expect(stderr).toMatch(/^step \d+: froze .* \(r = [\d.]+\); compiled again in [\d.]+ s$/m);
    expect(stderr).not.toContain("\u001b");
    expect(existsSync(join(home, "run", "report.html"))).toBe(true);
  });

  test("makes a run folder without --output", async () => {
    const sst2 = fileURLToPath(new URL("../../assets/sst2", import.meta.url));
    for (const file of ["train.tsv", "dev.tsv"]) {
      const lines = (await readFile(join(sst2, file), "utf8")).split("\n").slice(0, 21);
      await mkdir(join(home, "glue", "SST-2"), { recursive: true });
      await writeFile(join(home, "glue", "SST-2", file), lines.join("\n"));
    }
    for (const source of ["--task sst2 --data glue", "--train tickets.csv --text message --label team"]) {
      const { code, stdout, stderr } = await afloraHere(
        words(`train ${source} --model ./model --epochs 1 --head-start new`),
        home,
      );
      expect(code, stderr).toBe(0);
      const [, folder] = /^run folder: (.*)$/m.exec(stdout)!;
      expect(folder).toMatch(/[/\\]runs[/\\](sst2|tickets)-lora-\d{4}-\d\d-\d\d-\d{6}$/);
      expect((await readRunRecords(folder!)).result).toBeDefined();
    }
  });

  test("gives runs of one second folders of their own without --output", async () => {
    const at = (second: number): string =>
      new Date(Date.now() + 1000 * second).toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
    const seconds = Array.from({ length: 600 }, (_, second) => at(second));
    for (const second of seconds)
      await mkdir(join(home, "taken", "runs", `tickets-head-${second}`), { recursive: true });
    const args = words(
      "train --train ../tickets.csv --text message --label team --model ../model --method head --threads 1",
    );
    const runs = await Promise.all([0, 1].map(() => aflora(args, join(home, "taken"))));
    const folders = runs.map(({ code, stdout, stderr }) => {
      expect(code, stderr).toBe(0);
      return /^run folder: (.*)$/m.exec(stdout)![1]!;
    });
    expect(new Set(folders).size).toBe(2);
    for (const folder of folders) expect(folder).toMatch(/tickets-head-[\d-]+\d{6}-[23]$/);
    const made = (await readdir(join(home, "taken", "runs"))).length;
    expect(made).toBe(seconds.length + runs.length);
  });

  test("takes options from a file, in any spelling; flags win, with underscores too", async () => {
    const { config } = await readRunRecords(join(home, "run"));
    expect(config.run).toMatchObject({ epochs: 3, batchSize: 7, learningRate: 0.01, dropout: false });
    expect(config.method.options).toMatchObject({ freezeWindowed: false });
    const flags = "--output from-json --epochs 1 --dropout --freeze-windowed --no_vectors";
    const { code, stderr } = await afloraHere(words(`train --config run/config.json ${flags}`), home);
    expect(code, stderr).toBe(0);
    const { config: found } = await readRunRecords(join(home, "from-json"));
    expect(found.run).toMatchObject({ epochs: 1, batchSize: 7, dropout: true });
    expect(found.method.options).toMatchObject({ freezeWindowed: true, vectors: false });
  });
});

describe("predict", () => {
  const LABEL = "(?:billing|bug|delivery) (?:0\\.\\d{3}|1\\.000)";
  const TEXTS = ["my card was charged twice", "the app does not open"];
  const LINES = new RegExp(`^${LABEL}\\t${TEXTS[0]}\\n${LABEL}\\t${TEXTS[1]}\\n$`);

  test("labels texts from arguments and files the same way", async () => {
    const fromArguments = await afloraHere(["predict", "--run", "run", ...TEXTS], home);
    expect(fromArguments).toMatchObject({ code: 0, stderr: "reading run\n", stdout: expect.stringMatching(LINES) });
    await writeFile(join(home, "texts.txt"), TEXTS.join("\n"));
    expect(await afloraHere(words("predict --run run --file texts.txt"), home)).toEqual(fromArguments);
    await writeFile(join(home, "texts.csv"), `id,body\n1,${TEXTS.join("\n2,")}\n`);
    expect(await afloraHere(words("predict --run run/adapter --file texts.csv --text body"), home)).toEqual({
      ...fromArguments,
      stderr: "reading run/adapter\n",
    });
  });

  test("prints one line per input in order, empty ones too", async () => {
    const texts = ["my card", "", "two\nlines\tand a tab", ""];
    const record = (text: string): RegExp => new RegExp(`^${LABEL}\\t${text}$`);
    const expectRecords = ({ code, stdout }: Ended, ...expected: string[]): void => {
      expect(code).toBe(0);
      const lines = stdout.split("\n");
      expect(lines).toHaveLength(expected.length + 1);
      for (const [i, text] of expected.entries()) expect(lines[i]).toMatch(record(text));
    };
    const shown = ["my card", "", "two lines and a tab", ""];
    expectRecords(await afloraHere(["predict", "--run", "run", ...texts], home), ...shown);
    const fromStdin = await aflora(words("predict --run run"), home, { input: "my card\n\nbug\n\n" });
    expectRecords(fromStdin, "my card", "", "bug", "");
    expect(fromStdin).toEqual(await afloraHere(["predict", "--run", "run", "my card", "", "bug", ""], home));
    const cells = texts.map((text, i) => `${i},"${text}"\n`).join("");
    await writeFile(join(home, "gaps.csv"), `id,body\n${cells}`);
    expectRecords(await afloraHere(words("predict --run run --file gaps.csv --text body"), home), ...shown);
    const { stdout } = await afloraHere(words("predict --run run --file gaps.csv --text body --json"), home);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).text),
    ).toEqual(texts);
  });

  test("--json prints every label with its probability, one line per input", async () => {
    const { stdout } = await afloraHere(["predict", "--run", "run", "--json", "--", ...TEXTS, "--no_flag"], home);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ text }) => text)).toEqual([...TEXTS, "--no_flag"]);
    for (const { label, labels } of lines) {
      expect(labels).toHaveLength(3);
      expect(labels[0].label).toBe(label);
      expect(labels[0].probability + labels[1].probability + labels[2].probability).toBeCloseTo(1, 5);
    }
  });
});

describe("predict --output", () => {
  test("writes the rows of a file with the answers, and keeps the labels that it has", async () => {
    await writeFile(join(home, "given.csv"), 'id,body,label\n1,"my card, twice",billing\n2,the app does not open,\n');
    const args = words("predict --run run --file given.csv --text body --output answered.jsonl");
    expect(await afloraHere(args, home)).toMatchObject({ code: 0, stdout: "2 rows written to answered.jsonl\n" });
    const lines = (await readFile(join(home, "answered.jsonl"), "utf8")).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { id: "1", body: "my card, twice", label: "billing", ...ANSWER },
      { id: "2", body: "the app does not open", label: "", ...ANSWER },
    ]);
  });

  test("gives its columns free names in a file that has answers already", async () => {
    await writeFile(
      join(home, "twice.csv"),
      "body,label,predicted_label,probability\nthe app does not open,bug,billing,1\n",
    );
    const args = words("predict --run run --file twice.csv --text body --output again.csv");
    expect(await afloraHere(args, home)).toMatchObject({ code: 0, stdout: "1 row written to again.csv\n" });
    const [header] = (await readFile(join(home, "again.csv"), "utf8")).split("\n");
    expect(header).toBe("body,label,predicted_label,probability,predicted_label_2,predicted_probability");
  });

  const ANSWER = { predicted_label: expect.stringMatching(/billing|bug|delivery/), probability: expect.any(Number) };

  test.each([
    [
      "--file given.csv --text body --output answered.xlsx",
      /answered\.xlsx: rows are written as CSV, JSONL or parquet/,
    ],
    ["--output answered.csv hello", /--output writes the rows of --file; give both/],
  ])("%s is refused", async (flags, message) => {
    const { code, stderr } = await afloraHere(words(`predict --run run ${flags}`), home);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  });
});

describe("evaluate", () => {
  test("prints metrics, their standard errors and a confusion matrix of the run's own validation data", async () => {
    const { code, stdout } = await afloraHere(words("evaluate --run run --threads 1"), home);
    const { result } = await readRunRecords(join(home, "run"));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ +fine-tuned {2}standard error {2}same answer for all$/m);
    // Of five rows two have the most frequent label.
    expect(stdout).toMatch(new RegExp(`^accuracy +${result!.metrics.accuracy!.toFixed(4)} +[\\d.–]+ +0.4000$`, "m"));
    expect(stdout).toMatch(
      /^rows: true label, columns: predicted\n +billing {2}bug {2}delivery\nbilling +\d+ +\d+ +\d+\nbug .*\ndelivery .*\n$/m,
    );
  });

  test("--output writes the mistakes: a page, or their rows", async () => {
    const wrong = Array.from({ length: 12 }, (_, i) => `"the app does not open, ${i}",billing`);
    await writeFile(join(home, "wrong.csv"), `message,team\n${wrong.join("\n")}\n`);
    for (const output of ["mistakes.csv", "mistakes.html"]) {
      const { code, stderr } = await afloraHere(
        words(`evaluate --run run --validation wrong.csv --output ${output}`),
        home,
      );
      expect(code, stderr).toBe(0);
    }
    const [header, ...rows] = (await readFile(join(home, "mistakes.csv"), "utf8")).trimEnd().split("\n");
    expect(header).toBe("text,true label,answer,probability");
    const page = await readFile(join(home, "mistakes.html"), "utf8");
    expect(page).toContain("Scores per label, the lowest F1 first");
    expect([...page.matchAll(/the app does not open,/g)]).toHaveLength(rows.length);
    const refused = await afloraHere(words("evaluate --run run --output mistakes.xlsx"), home);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("its name must end in")]);
  });

  test("--own-splits is refused if the data has no validation rows: others of the training rows would be drawn", async () => {
    const { code, stdout, stderr } = await afloraHere(words("evaluate --run run --own-splits"), home);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/the run in run has no validation examples of its own; leave --own-splits out/);
  });

  test("or of other data; --json has the numbers", async () => {
    const { code, stdout } = await afloraHere(words("evaluate --run run --validation tickets.csv --json"), home);
    expect(code).toBe(0);
    const [evaluation] = JSON.parse(stdout);
    expect(evaluation).toMatchObject({ split: "tickets.csv", examples: 45, labels: ["billing", "bug", "delivery"] });
    const { confusion, metrics } = evaluation;
    expect(confusion.map((row: number[]) => row[0]! + row[1]! + row[2]!)).toEqual([15, 15, 15]);
    expect(metrics.accuracy).toBeCloseTo((confusion[0][0] + confusion[1][1] + confusion[2][2]) / 45, 10);
  });
});

test("info shows versions, devices and cores", async () => {
  const { code, stdout } = await afloraHere(["info"], home);
  expect(code).toBe(0);
  for (const name of ["aflora", "node", "onnxRuntime", "cpu", "cores", "memory"]) {
    expect(stdout).toMatch(new RegExp(`^${name} +\\S`, "m"));
  }
  const info = JSON.parse((await afloraHere(["info", "--json"], home)).stdout);
  expect(info.devices[0]).toMatchObject({ device: "cpu", usable: true, name: cpus()[0]!.model });
  // What this machine has, not what the build could do.
  for (const { device, usable, reason } of info.devices) {
    if (usable) expect(reason).toBeUndefined();
    else expect(reason).toMatch(new RegExp(`^device "${device}" cannot be used on this machine: `));
  }
  expect((await afloraHere(["--version"], home)).stdout.trim()).toBe(info.aflora);
});

describe("help", () => {
  const commands = [
    "",
    "demo",
    "init",
    "train",
    "evaluate",
    "predict",
    "classify",
    "label",
    "suggest",
    "check",
    "chat",
    "serve",
    "web",
    "embed",
    "search",
    "mine",
    "export",
    "compare",
    "tune",
    "study",
    "work",
    "estimate",
    "params",
    "report",
    "info",
  ];
  test.each(commands)("of `aflora %s` is at most 100 columns wide, and ends in two examples", async (command) => {
    const { code, stdout, stderr } = await afloraHere([...command.split(" ").filter(Boolean), "--help"], home);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^Usage: aflora /);
    expect(stdout.split("\n").filter((line) => line.length > 100 && !line.includes("  $ "))).toEqual([]);
    expect(stdout).toMatch(new RegExp(`\nExamples:\n(.*\\$ .*aflora ${command}.*\n){2}`));
  });

  test("of `aflora train` has the everyday options; --help-all has every one", async () => {
    const short = await afloraHere(["train", "--help"], home);
    const long = await afloraHere(["train", "--text", "message", "--help-all"], home);
    expect([long.code, long.stderr]).toEqual([0, ""]);
    for (const flag of ["--train <", "--epochs <", "--rank <", "--output <", "--help-all"]) {
      expect(short.stdout).toContain(flag);
      expect(long.stdout).toContain(flag);
    }
    for (const flag of ["--beta1 <", "--warmup-ratio <", "--orthogonality <"]) {
      expect(short.stdout).not.toContain(flag);
      expect(long.stdout).toContain(flag);
    }
    expect(short.stdout.split("\n").length).toBeLessThan(65);
    expect(short.stdout).toMatch(
      /\nData:\n {2}--train <.*\nModel and method:\n {2}--model <.*\nTraining:\n {2}--epochs </s,
    );
    expect(short.stdout).not.toContain("To reproduce published results");
    expect(long.stdout).toMatch(/\nTo reproduce published results:\n {2}--preset <.*--beta1 <.*\nExamples:/s);
  });

  test("names the command as the user started it", async () => {
    const { stdout } = await aflora(["train", "--help"], home, { env: { npm_command: "exec" } });
    expect(stdout).toMatch(/^Usage: npx aflora train /);
    expect(stdout).toContain("  $ npx aflora train --train tickets.csv");
  });

  test("is the output of aflora without a command", async () => {
    const { code, stdout, stderr } = await afloraHere([], home);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^Usage: aflora /);
  });

  test("may be cut off by its reader", async () => {
    const running = new Aflora(["train", "--help"], home);
    running.process.stdout.destroy();
    expect(await running.ended).toEqual({ code: 0, stdout: "", stderr: "" });
  });
});

test.skipIf(!existsSync("/dev/full"))(
  "output that a full disk does not take is a sentence, and an exit code",
  async () => {
    const { code, stderr } = await new Aflora(["params"], home, { shell: "exec >/dev/full" }).ended;
    expect(stderr).toMatch(
      /^error: cannot write the output: .*no space left.*; free some space, or write it elsewhere\n$/,
    );
    expect(code).toBe(2);
  },
);

// Windows has no signals that a process could answer.
describe.skipIf(process.platform === "win32")("Ctrl-C", () => {
  const options = "--text message --label team --model ./model --head-start new --threads 1";

  test("ends a run after the current computation, with everything that --resume needs", async () => {
    const running = new Aflora(
      words(`train --train tickets.csv ${options} --batch-size 4 --epochs 20 --output cut`),
      home,
    );
    await running.says(/^epoch 1:/m);
    running.process.kill("SIGINT");
    const { code, stdout, stderr } = await running.ended;
    expect([code, stdout]).toEqual([130, ""]);
    const directory = join(home, "cut");
    expect(stderr).toContain("saving what is done; press Ctrl-C again to end at once\n");
    expect(stderr).toMatch(new RegExp(`\ninterrupted; continue with: aflora train --resume ${directory}\n$`));
    const before = (await readRunRecords(directory)).steps.length;
    expect(before).toBeLessThan(200);

    const resumed = await afloraHere(["train", "--resume", directory], home);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toContain(`resuming after step ${before}\n`);
    const { steps, result } = await readRunRecords(directory);
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 200 }, (_, step) => step));
    expect(result).toMatchObject({ steps: 200, epochs: 20 });
  });

  test("also works within a step or an evaluation, which is dropped", async () => {
    // Of a great many micro-batches.
    const many = Array.from({ length: 200 }, () => tickets(1)).flat();
    await writeCsv(join(home, "many.csv"), many);
    for (const [name, flags] of Object.entries({
      step: "--train many.csv --validation tickets.csv --batch-size 3000",
      evaluation: "--train tickets.csv --validation many.csv",
    })) {
      const output = join(home, `within-${name}`);
      const running = new Aflora(words(`train ${flags} ${options} --token-budget 1 --output ${output}`), home);
      // It is there when the first step begins, and when the first evaluation does.
      const written = name === "step" ? join("checkpoints", "step-0.safetensors") : "metrics.jsonl";
      await appearance(join(output, written));
      running.process.kill("SIGINT");
      expect((await running.ended).code).toBe(130);
      const { steps, evaluations } = await readRunRecords(output);
      expect([steps.length, evaluations.length]).toEqual(name === "step" ? [0, 1] : [0, 0]);
    }
  });

  test("before training ends it at once, with nothing written", async () => {
    // A hub that is asked for the model, and does not answer.
    const hub = createServer().listen(0, "127.0.0.1");
    await once(hub, "listening");
    onTestFinished(() => void hub.close());
    const env = { HF_ENDPOINT: `http://127.0.0.1:${(hub.address() as AddressInfo).port}`, HF_HOME: join(home, "hub") };
    const command = `train --train tickets.csv ${options.replace("./model", "some/model")} --output none`;
    const running = new Aflora(words(command), home, { env });
    await once(hub, "request");
    running.process.kill("SIGINT");
    const { code, stderr } = await running.ended;
    expect(code).toBe(130);
    expect(stderr).toMatch(/interrupted before training began\n$/);
    expect(existsSync(join(home, "none"))).toBe(false);
  });

  test("counts once if it arrives twice, and later ends at once", async () => {
    // The second and the third come with the first, however long this process takes to hear of it.
    const program = `
      import { onStopSignal } from ${JSON.stringify(new URL("../../dist/cli/terminal/stop-signals.js", import.meta.url).href)};
      onStopSignal(() => {
        console.log("asked");
        process.kill(process.pid, "SIGINT");
        process.kill(process.pid, "SIGHUP");
      });
      process.on("removeListener", (event) => event === "SIGINT" && console.log("the next one ends this"));
      console.log("ready");
      setInterval(() => undefined, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program]);
    let said = "";
    child.stdout.on("data", (text) => {
      said += text;
    });
    const says = async (text: string): Promise<void> => {
      while (!said.endsWith(`${text}\n`)) await once(child.stdout, "data");
    };
    await says("ready");
    child.kill("SIGINT");
    await says("the next one ends this");
    expect(said).toBe("ready\nasked\nthe next one ends this\n");
    expect([child.exitCode, child.signalCode]).toEqual([null, null]);
    child.kill("SIGINT");
    expect(await once(child, "exit")).toEqual([null, "SIGINT"]);
  });
});
