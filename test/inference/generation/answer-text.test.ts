import { expect, test } from "vitest";
import { AnswerText } from "../../../src/inference/generation/answer-text.ts";

/** A tokenizer whose tokens are bytes. */
const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
const decode = (ids: readonly number[]): string => new TextDecoder().decode(Uint8Array.from(ids));

function pieces(text: string, stop: string[] = []): string[] {
  const answer = new AnswerText(decode, stop);
  const given: string[] = [];
  for (const token of bytes(text)) {
    given.push(answer.push(token));
    if (answer.stopped) break;
  }
  return [...given, answer.finish()].filter((piece) => piece !== "");
}

test("text is returned once its characters are complete", () => {
  expect(pieces("aé🙂b")).toEqual(["a", "é", "🙂", "b"]);
});

test("an answer ends before a stop string, no part of which is shown", () => {
  expect(pieces("one\nUser: two", ["User:"]).join("")).toBe("one\n");
  expect(pieces("a USE b", ["User:"]).join("")).toBe("a USE b");
  expect(pieces("xyz", ["yq", "z"]).join("")).toBe("xy");
});

test("the possible beginning of a stop string is returned once it is not one, or at the end", () => {
  expect(pieces("abac", ["abad"])).toEqual(["abac"]);
  expect(pieces("tell Us", ["User"]).join("")).toBe("tell Us");
});

test("incomplete characters are shown as such at the end", () => {
  const answer = new AnswerText(decode, []);
  expect(answer.push(0xf0)).toBe("");
  expect(answer.finish()).toBe("\ufffd");
});
