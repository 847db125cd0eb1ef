import { UserError } from "../errors.ts";
import type { ChatMessage } from "../tokenization/chat-template.ts";
import type { Tokenizer } from "../tokenization/tokenizer.ts";
import type { Example } from "./example.ts";
import { separator } from "./written-text.ts";

/**
 * What a language model is to answer: what a user says, or a conversation, both by the model's chat template where it has one; or
 * a text to go on with as it stands.
 */
export type Prompt = string | readonly ChatMessage[] | { readonly verbatim: string };

/**
 * A prompt's token ids, up to where the model goes on.
 * @param tools that the model may call, as JSON schemas
 * @throws UserError where the template refuses the conversation, or a conversation has none.
 */
export function promptIds(prompt: Prompt, tokenizer: Tokenizer, tools?: readonly unknown[]): number[] {
  const { chatTemplate } = tokenizer;
  if (isConversation(prompt) && !chatTemplate) {
    throw new UserError(
      "the model has no chat template to write a conversation by; take one that was tuned to chat, or ask with a single text",
    );
  }
  if (typeof prompt === "object" && "verbatim" in prompt) return textIds(prompt.verbatim, tokenizer);
  if (!chatTemplate) return textIds(prompt as string, tokenizer);
  const messages = isConversation(prompt) ? prompt : [{ role: "user", content: prompt }];
  return tokenizer.idsOf(chatTemplate.render(messages, { tools, addGenerationPrompt: true }));
}

/** What an example asks: its conversation up to the assistant's last turn, or its text, as training put it before the completion. */
export function promptOf(
  { text, textPair, messages }: Pick<Example, "text" | "textPair" | "messages">,
  { chatTemplate }: Pick<Tokenizer, "chatTemplate">,
): Prompt {
  if (!messages) {
    return chatTemplate || textPair === undefined ? text : { verbatim: text + separator(text, textPair) };
  }
  const last = messages.findLastIndex(({ role }) => role === "assistant");
  return last < 0 ? messages : messages.slice(0, last);
}

/** The answer that an example has to what it asks; none of a whole text. */
export function answerOf({ textPair, messages }: Example): string | undefined {
  return messages ? (messages.findLast(({ role }) => role === "assistant")?.content ?? undefined) : textPair;
}

const isConversation = (prompt: Prompt): prompt is readonly ChatMessage[] => Array.isArray(prompt);

/** A text with what the tokenizer puts before it, but not with the end of a text behind it. */
function textIds(text: string, tokenizer: Tokenizer): number[] {
  const ids = [...tokenizer.encode(text, undefined, Number.MAX_SAFE_INTEGER).inputIds];
  if (ids.at(-1) === tokenizer.specialTokens.eos?.id) ids.pop();
  if (ids.length === 0) throw new UserError("an empty prompt: there is nothing to go on from; give a text");
  return ids;
}
