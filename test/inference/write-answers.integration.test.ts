import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import type { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import type { AnswerEnd } from "../../src/inference/write-answers.ts";
import { fineTune } from "../support/fine-tune.ts";
import { runtime } from "../support/runtime.ts";
import { ANSWERS, FOLLOWED_UP, trainedToAnswer } from "../support/tiny-language-model.ts";
import { writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let model: FineTunedModel;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-answers-"));
  model = await loadFineTunedModel(await trainedToAnswer(home), runtime);
});
afterAll(async () => {
  await model.release();
  await rm(home, { recursive: true });
});

/** Pieces of an answer, and how it ended. */
async function read(answer: AsyncGenerator<string, AnswerEnd>): Promise<{ pieces: string[] } & AnswerEnd> {
  const pieces: string[] = [];
  for (;;) {
    const { value, done } = await answer.next();
    if (done) return { pieces, ...value };
    pieces.push(value);
  }
}

const [[question, expected]] = ANSWERS as [[string, string]];

describe("a language model that learned answers", () => {
  test("gives them, several at once, as it does one by one", async () => {
    const seen: number[] = [];
    const answers = await model.answers(
      ANSWERS.map(([prompt]) => prompt),
      {},
      (_, i) => seen.push(i),
    );
    expect(answers.map(({ text }) => text)).toEqual(ANSWERS.map(([, answer]) => answer));
    expect(answers.every(({ reason }) => reason === "stop")).toBe(true);
    expect(seen).toEqual(ANSWERS.map((_, i) => i));
    for (const [i, [prompt]] of ANSWERS.entries()) {
      const { pieces, ...end } = await read(model.answer(prompt));
      expect({ text: pieces.join(""), ...end }).toEqual(answers[i]);
      expect(pieces.length).toBeGreaterThan(2);
    }
  });

  test("answers a conversation by its last turn", async () => {
    const { pieces } = await read(model.answer(FOLLOWED_UP.slice(0, -1)));
    expect(pieces.join("")).toBe(FOLLOWED_UP.at(-1)!.content);
  });

  test("an answer ends at its length limit, at a stop string, and on request", async () => {
    const short = await read(model.answer(question, { maxNewTokens: 3 }));
    expect(short).toMatchObject({ reason: "length", answerTokens: 3 });
    expect(expected.startsWith(short.pieces.join(""))).toBe(true);
    const stop = expected.slice(5, 8);
    const stopped = await read(model.answer(question, { stop: [stop] }));
    expect([stopped.reason, stopped.pieces.join("")]).toEqual(["stop", expected.slice(0, expected.indexOf(stop))]);
    const enough = new AbortController();
    const answer = model.answer(question, { signal: enough.signal });
    const first = await answer.next();
    enough.abort();
    const rest = await read(answer);
    expect(rest.reason).toBe("stop");
    expect(`${first.value}${rest.pieces.join("")}`.length).toBeLessThan(expected.length);
  });

  test("a beam search ends on request too", async () => {
    const { pieces, ...end } = await read(model.answer(question, { numBeams: 3, signal: AbortSignal.abort() }));
    expect(end).toMatchObject({ reason: "stop", answerTokens: 1 });
    expect(expected.startsWith(pieces.join(""))).toBe(true);
  });

  test("beam search finds the same answers, and a verbatim text is continued", async () => {
    const [found] = await model.answers([question], { numBeams: 3 });
    expect(found!.text).toBe(expected);
    const asked = model.base.tokenizer.chatTemplate!.render([{ role: "user", content: question }], {
      addGenerationPrompt: true,
    });
    const begun = asked + expected.slice(0, 7);
    const { pieces } = await read(model.answer({ verbatim: begun }));
    expect(pieces.join("")).toBe(expected.slice(7));
  });

  test("prompts and options that are not possible are refused with a message", async () => {
    const tooLong = model.answer({ verbatim: "cat ".repeat(600) });
    await expect(tooLong.next()).rejects.toThrow(/leaves no room for an answer: the model reads 512 in all/);
    await expect(model.answer(question, { temperature: -1 }).next()).rejects.toThrow(UserError);
    await expect(model.answer({ verbatim: "" }).next()).rejects.toThrow(/an empty prompt/);
  });
});

test("neither a model that labels texts nor a released one writes answers", async () => {
  const output = join(home, "labels");
  await fineTune({
    model: await writeTinyModel(join(home, "encoder")),
    train: await writeCsv(join(home, "rows.csv"), [
      { text: "my card", label: "a" },
      { text: "the bill", label: "b" },
      { text: "my order", label: "a" },
      { text: "a crash", label: "b" },
    ]),
    validationSplit: 0.5,
    method: "head",
    epochs: 1,
    threads: 1,
    output,
  });
  const labels = await loadFineTunedModel(output, runtime);
  expect(labels.writes).toBe(false);
  await expect(labels.answer("x").next()).rejects.toThrow(/is for classification and does not write answers/);
  await labels.release();
  const released = await loadFineTunedModel(join(home, "run"), runtime);
  await released.answers([question]);
  await released.release();
  await expect(released.answer(question).next()).rejects.toThrow(/was released/);
});
