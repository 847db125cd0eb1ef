import { UserError } from "../errors.ts";
import type { ChatMessage } from "../tokenization/chat-template.ts";
import type { Tokenizer } from "../tokenization/tokenizer.ts";
import type { Example } from "./example.ts";
import { separator } from "./written-text.ts";

/**
 * What a language model is to answer: what a user says, or a conversation, both by the model's chat template where it has one; or
 * a text to go on with as it stands.
 */
export type Prompt = string | readonly ChatMessage[] | AskedConversation | { readonly verbatim: string };

/** A conversation with tools that the model may call, as JSON schemas. */
export interface AskedConversation {
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly unknown[] | undefined;
}

/**
 * A prompt's token ids, up to where the model goes on.
 * @throws UserError where the template refuses the conversation, or a conversation has none.
 */
export function promptIds(prompt: Prompt, tokenizer: Tokenizer): number[] {
  const { chatTemplate } = tokenizer;
  if (typeof prompt === "object" && "verbatim" in prompt) return textIds(prompt.verbatim, tokenizer);
  if (typeof prompt === "string" && !chatTemplate) return textIds(prompt, tokenizer);
  if (!chatTemplate) {
    throw new UserError(
      "the model has no chat template to write a conversation by; use one that was tuned for chat, or ask with a single text",
    );
  }
  const { messages, tools } = conversationOf(prompt);
  return tokenizer.idsOf(chatTemplate.render(messages, { tools, addGenerationPrompt: true }));
}

function conversationOf(prompt: Exclude<Prompt, { readonly verbatim: string }>): AskedConversation {
  if (typeof prompt === "string") return { messages: [{ role: "user", content: prompt }] };
  return "messages" in prompt ? prompt : { messages: prompt };
}

/**
 * The text that an encoder-decoder is asked to rewrite: a text, or the one turn of a conversation.
 * @throws UserError where there are more turns.
 */
export function sourceText(prompt: Prompt): string {
  if (typeof prompt === "object" && "verbatim" in prompt) return prompt.verbatim;
  const { messages } = conversationOf(prompt);
  const [{ content } = { content: null }] = messages;
  if (messages.length === 1 && typeof content === "string") return content;
  throw new UserError(
    "an encoder-decoder rewrites one text and does not read earlier turns; ask with a single text, or begin again",
  );
}

/** What an example asks: its conversation up to the assistant's last turn, or its text, as training put it before the completion. */
export function promptOf(
  { text, textPair, messages, tools }: Pick<Example, "text" | "textPair" | "messages" | "tools">,
  { chatTemplate }: Pick<Tokenizer, "chatTemplate">,
): Prompt {
  if (!messages) {
    return chatTemplate || textPair === undefined ? text : { verbatim: text + separator(text, textPair) };
  }
  const last = messages.findLastIndex(({ role }) => role === "assistant");
  return { messages: last < 0 ? messages : messages.slice(0, last), tools };
}

/** The answer that an example has to what it asks; none of a whole text. */
export function answerOf({ textPair, messages }: Example): string | undefined {
  return messages ? (messages.findLast(({ role }) => role === "assistant")?.content ?? undefined) : textPair;
}

/** A text with what the tokenizer puts before it, but not with the end of a text behind it. */
function textIds(text: string, tokenizer: Tokenizer): number[] {
  const ids = [...tokenizer.encode(text, undefined, Number.MAX_SAFE_INTEGER).inputIds];
  if (ids.at(-1) === tokenizer.specialTokens.eos?.id) ids.pop();
  if (ids.length === 0) throw new UserError("an empty prompt: there is nothing to continue; give a text");
  return ids;
}
