import { UserError } from "../errors.ts";
import type { ChatMessage } from "../inputs/chat-template.ts";
import type { Tokenizer } from "../inputs/tokenizer.ts";
import type { Example } from "./example.ts";
import { alpacaPrompt } from "./prompt-template.ts";
import type { TaskOptionValues } from "./task-kind.ts";
import { separator } from "./written-text.ts";

/**
 * Prompt of a language model: a user message or a conversation, both formatted by the model's chat template if it has one; or a
 * verbatim text to continue.
 */
export type Prompt =
  | string
  | readonly ChatMessage[]
  | { readonly messages: readonly ChatMessage[]; readonly tools?: readonly unknown[] | undefined }
  | { readonly verbatim: string };

/** A conversation with tools that the model may call, as JSON schemas. */
export interface AskedConversation {
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly unknown[] | undefined;
}

/** Token ids of a prompt, up to the position where the model continues. */
export function promptIds(prompt: Prompt, tokenizer: Tokenizer): number[] {
  const { chatTemplate } = tokenizer;
  if (typeof prompt === "object" && "verbatim" in prompt) return textIds(prompt.verbatim, tokenizer);
  if (typeof prompt === "string" && !chatTemplate) return textIds(prompt, tokenizer);
  if (!chatTemplate) {
    throw new UserError(
      "the model has no chat template for conversations; use one that was tuned for chat, or ask with a single text",
    );
  }
  const { messages, tools } = conversationOf(prompt);
  return tokenizer.idsOf(chatTemplate.render(messages, { tools, addGenerationPrompt: true }));
}

/** A prompt in the form that training used, for models that learned single instructions. @param options of the task */
export function inTemplate(prompt: Prompt, { promptTemplate }: TaskOptionValues = {}): Prompt {
  if (promptTemplate !== "alpaca" || (typeof prompt === "object" && "verbatim" in prompt)) return prompt;
  const text = singleText(prompt, "the model learned single instructions and");
  return { verbatim: alpacaPrompt({ text }, "answer") };
}

function conversationOf(prompt: Exclude<Prompt, { readonly verbatim: string }>): AskedConversation {
  if (typeof prompt === "string") return { messages: [{ role: "user", content: prompt }] };
  return "messages" in prompt ? prompt : { messages: prompt };
}

export function sourceText(prompt: Prompt): string {
  if (typeof prompt === "object" && "verbatim" in prompt) return prompt.verbatim;
  return singleText(prompt, "an encoder-decoder rewrites one text and");
}

/** @throws UserError if there are several turns. */
function singleText(prompt: Exclude<Prompt, { readonly verbatim: string }>, whoReads: string): string {
  const { messages } = conversationOf(prompt);
  const [{ content } = { content: null }] = messages;
  if (messages.length === 1 && typeof content === "string") return content;
  throw new UserError(`${whoReads} does not read earlier turns; ask with a single text, or begin again`);
}

/**
 * Prompt of an example: its conversation before the assistant's last turn, or its text, in the form that training used.
 * @param options of the task
 */
export function promptOf(
  { text, context, textPair, messages, tools }: Pick<Example, "text" | "context" | "textPair" | "messages" | "tools">,
  { chatTemplate }: Pick<Tokenizer, "chatTemplate">,
  { promptTemplate }: TaskOptionValues = {},
): Prompt {
  if (!messages) {
    if (promptTemplate === "alpaca")
      return { verbatim: alpacaPrompt({ text, ...(context !== undefined && { context }) }, "answer") };
    return chatTemplate || textPair === undefined ? text : { verbatim: text + separator(text, textPair) };
  }
  const last = messages.findLastIndex(({ role }) => role === "assistant");
  return { messages: last < 0 ? messages : messages.slice(0, last), tools };
}

export function answerOf({ textPair, messages }: Example): string | undefined {
  return messages ? (messages.findLast(({ role }) => role === "assistant")?.content ?? undefined) : textPair;
}

function textIds(text: string, tokenizer: Tokenizer): number[] {
  const ids = [...tokenizer.encode(text, undefined, Number.MAX_SAFE_INTEGER).inputIds];
  if (ids.at(-1) === tokenizer.specialTokens.eos?.id) ids.pop();
  if (ids.length === 0) throw new UserError("an empty prompt: there is nothing to continue; give a text");
  return ids;
}
