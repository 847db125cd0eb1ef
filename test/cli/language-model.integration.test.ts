import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Aflora, afloraHere, type Ended } from "../support/aflora.ts";
import { ANSWERS, FOLLOWED_UP, trainedToAnswer } from "../support/tiny-language-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-cli-language-model-"));
  await trainedToAnswer(home);
});
afterAll(() => rm(home, { recursive: true }));

const start = (...args: string[]): Aflora => new Aflora([...args, "--threads", "1"], home);
const run = (...args: string[]): Promise<Ended> => afloraHere([...args, "--threads", "1"], home);

test("predict answers: one text as it is, several on one line each, or as JSON", async () => {
  const [questions, answers] = [ANSWERS.map(([question]) => question), ANSWERS.map(([, answer]) => answer)];
  expect(await start("predict", "--run", "run", questions[0]!).ended).toMatchObject({
    code: 0,
    stdout: `${answers[0]}\n`,
  });
  const several = await run("predict", "--run", "run", ...questions);
  expect(several.stdout).toBe(answers.map((answer) => `${answer}\n`).join(""));
  const { stdout } = await run("predict", "--run", "run", "--json", "--max-new-tokens", "2", questions[0]!);
  expect(JSON.parse(stdout)).toMatchObject({ text: questions[0], reason: "length", answerTokens: 2 });
});

test("answers follow a JSON schema, and an unsupported schema is refused before the model is read", async () => {
  const [[question]] = ANSWERS as [[string, string]];
  const write = (name: string, schema: object) => writeFile(join(home, name), JSON.stringify(schema));
  await write("order.json", { type: "object", properties: { item: { enum: ["hat"] }, count: { type: "integer" } } });
  const asked = ["predict", "--run", "run", question, "--max-new-tokens", "30", "--temperature", "1.5"];
  const { stdout, code } = await run(...asked, "--json-schema", "order.json");
  expect(code).toBe(0);
  const { item, count, ...others } = JSON.parse(stdout);
  expect(others).toEqual({});
  expect(["hat", undefined]).toContain(item);
  expect(["number", "undefined"]).toContain(typeof count);
  await write("unknown.json", { type: "array", uniqueItems: true });
  expect(await run("predict", "--run", "nowhere", question, "--json-schema", "unknown.json")).toMatchObject({
    code: 2,
    stderr: "reading nowhere\nerror: the JSON schema's #/uniqueItems is not supported; leave it out\n",
  });
});

test("predict gives the likelihood of a given answer", async () => {
  const [[question, answer]] = ANSWERS as [[string, string]];
  const { stdout } = await run("predict", "--run", "run", question, "--text-pair", answer);
  expect(stdout).toMatch(/^perplexity 1\.\d+ of \d+ tokens\t/);
});

test("evaluate answers and scores the answers", async () => {
  const own = await run("evaluate", "--run", "run", "--generate", "3", "--json");
  const [{ metrics, answers }] = JSON.parse(own.stdout);
  expect(metrics).toMatchObject({ exact_match: 1, rouge1: 1, rouge2: 1, rougeL: 1, rougeLsum: 1 });
  expect(metrics.last_number).toBeUndefined();
  expect(answers).toEqual(ANSWERS.slice(0, 3).map(([text, reference]) => ({ text, reference, answer: reference })));
  const cut = await run("evaluate", "--run", "run", "--generate", "9", "--max-new-tokens", "1");
  expect(cut.stdout).toMatch(/^validation: 5 examples, 5 answers scored\n.*exact_match 0\.0000/);
  const none = await run("evaluate", "--run", "run", "--generate", "0");
  expect(none).toMatchObject({
    code: 2,
    stderr: "reading run\nerror: --generate takes a number of examples, at least 1, not 0\n",
  });
});

test("answers come from a quantized base on request", async () => {
  const [[question, answer]] = ANSWERS as [[string, string]];
  const asked = await run("predict", "--run", "run", "--base", "int8", question);
  expect(asked).toMatchObject({ code: 0, stdout: `${answer}\n`, stderr: "reading run\n" });
  const unknown = await run("predict", "--run", "run", "--base", "int2", question);
  expect(unknown).toMatchObject({ code: 2, stderr: expect.stringMatching(/^reading run\nerror: --base: /) });
});

test("chat remembers the conversation until it is reset", async () => {
  const talk = start("chat", "--run", "run");
  const [first, answer, second, followed] = FOLLOWED_UP.map(({ content }) => content);
  talk.process.stdin.end([first, second, "/reset", "/what", first, "/exit", first].map((line) => `${line}\n`).join(""));
  const { code, stdout, stderr } = await talk.ended;
  expect([code, stdout]).toEqual([0, `${answer}\n${followed}\n${answer}\n`]);
  expect(stderr).toContain("/reset clears the conversation");
});

test("chat continues after an error", async () => {
  const talk = start("chat", "--run", "run");
  const [[question, answer]] = ANSWERS as [[string, string]];
  talk.process.stdin.end(`${"cat ".repeat(600)}\n${question}\n`);
  const { code, stdout, stderr } = await talk.ended;
  expect([code, stdout]).toEqual([0, `${answer}\n`]);
  expect(stderr).toMatch(
    /^error: a prompt of \d+ tokens leaves no room for an answer: .*\/reset clears the conversation/m,
  );
});

test("serve answers OpenAI's client until it is stopped", async () => {
  const server = start("serve", "--run", "run", "--port", "0");
  const url = (await server.says(/at (http:\S+)\n/))[1]!;
  const client = new OpenAI({ baseURL: url, apiKey: "none" });
  const [[question, answer]] = ANSWERS as [[string, string]];
  const { choices } = await client.chat.completions.create({
    model: "run",
    messages: [{ role: "user", content: question }],
  });
  expect(choices[0]!.message.content).toBe(answer);
  server.process.kill("SIGTERM");
  const { code, stderr } = await server.ended;
  expect(code).toBe(0);
  const [read, first, second, ...others] = stderr.split("\n");
  expect(read).toBe("reading run");
  expect(first).toBe(`serving run at ${url}`);
  expect(second).toMatch(/^run: \d+ tokens read; \d+ written, the first after [\d.]+ s/);
  expect(others).toEqual([""]);
});

test("models that cannot be served or chatted with are refused in a sentence", async () => {
  const twice = await run("serve", "--run", "run", "--run", join(home, "run"));
  expect([twice.code, twice.stderr]).toEqual([2, expect.stringContaining('two models have the name "run"')]);
  const missing = await run("serve", "--run", "run", "--key-file", "none.txt");
  expect([missing.code, missing.stderr]).toEqual([
    2,
    "reading run\nerror: none.txt holds no key; write one line of text into it\n",
  ]);
  const malformed = await run("chat", "--run", "run", "--top-p", "2");
  expect([malformed.code, malformed.stderr]).toEqual([2, expect.stringContaining("--top-p: it must be at most 1")]);
});
