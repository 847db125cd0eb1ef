import type { Example } from "./example.ts";

/** Form in which a language model reads a prompt: the model's chat template if it has one, or Alpaca's. */
export const PROMPT_TEMPLATES = ["chat", "alpaca"] as const;
export type PromptTemplate = (typeof PROMPT_TEMPLATES)[number];

const INTRODUCTION = "Below is an instruction that describes a task";
const REQUEST = "Write a response that appropriately completes the request.";

/** The scripts of LLM-Adapters indent all but the first line, and the models that they trained know the text in this form. */
const INDENT = " ".repeat(16);

/**
 * Alpaca's prompt (github.com/tatsu-lab/stanford_alpaca) to the letter of LLM-Adapters and of AFLoRA's released code: `finetune.py` and
 * `evaluate.py` there differ in spaces at the ends of lines, so the text to learn from and that to answer differ, too.
 * @param use whether an answer follows that the model learns, or the model writes one
 */
export function alpacaPrompt(
  { text, context = "" }: Pick<Example, "text" | "context">,
  use: "learn" | "answer",
): string {
  const joined = `\n\n${context}`;
  // A text that was shortened may have lost its context.
  const apart = context !== "" && text.endsWith(joined);
  const learns = use === "learn";
  const blank = learns ? INDENT : "";
  const section = (name: string, body: string): string => `${INDENT}### ${name}:\n${INDENT}${body}`;
  const [about, spaces] = apart
    ? [`${INTRODUCTION}, paired with an input that provides further context. ${REQUEST}`, learns ? " " : ""]
    : [`${INTRODUCTION}. ${REQUEST}`, learns ? "  " : " "];
  const sections = [
    section("Instruction", apart ? text.slice(0, -joined.length) : text),
    ...(apart ? [section("Input", context)] : []),
    section("Response", ""),
  ];
  return `${about}${spaces}\n\n${sections.join(`\n${blank}\n`)}`;
}
