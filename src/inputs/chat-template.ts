import { UserError } from "../errors.ts";
import { BoundedTemplate } from "./bounded-template.ts";

/** One turn of a conversation, as chat templates expect it. A template may read other fields too. */
export interface ChatMessage {
  role: string;
  content?: string | null | undefined;
  [field: string]: unknown;
}

/** A range of a text: `[start, end)` in UTF-16 units. */
export interface TextSpan {
  start: number;
  end: number;
}

/** How a template renders a conversation. */
export interface ChatTemplateOptions {
  /** Tools that the model may call, as JSON schemas. */
  tools?: readonly unknown[] | undefined;
  /** Whether to append the beginning of an answer, so that the model writes one. */
  addGenerationPrompt?: boolean;
}

/** Noncharacters, which no text contains: they mark the assistant's parts. */
const [BEGIN, END] = ["\ufdd0", "\ufdd1"];

/**
 * A model's chat template, which converts a conversation to the model's input like Transformers' `apply_chat_template`
 * (huggingface.co/docs/transformers/chat_templating). Templates are Jinja with `trim_blocks` and `lstrip_blocks`.
 */
export class ChatTemplate {
  readonly #compiled = new Map<string, BoundedTemplate>();

  /**
   * @param sources templates by name: `default`, and `tool_use` if there is one for tools
   * @param tokens special tokens by their names in templates: `bos_token`, `eos_token`
   * @param location of the template, for error messages
   */
  constructor(
    private readonly sources: Readonly<Record<string, string>>,
    private readonly tokens: Readonly<Record<string, string>>,
    private readonly location: string,
  ) {}

  get takesTools(): boolean {
    return Object.values(this.sources).some((source) => /\btools\b/.test(source));
  }

  /**
   * Renders a conversation, including special tokens.
   * @throws UserError if the template rejects the conversation or cannot be used.
   */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return this.#render(this.#sourceFor(options), messages, options);
  }

  /**
   * Renders a conversation and locates the assistant's turns, in order. A turn is what the model writes after its
   * prompt, including the token that ends the turn, or the part that the template marks (`{% generation %}`).
   * @throws UserError if the template rejects the conversation, or a turn cannot be located.
   */
  renderTurns(
    messages: readonly ChatMessage[],
    options: Pick<ChatTemplateOptions, "tools"> = {},
  ): { text: string; turns: TextSpan[] } {
    const source = this.#sourceFor(options);
    const text = this.#render(source, messages, options);
    const marked = source.replace(
      /\{%(-?)\s*(end)?generation\s*(-?)%\}/g,
      (_, left, end, right) => `{%${left} if true %}${end ? END : BEGIN}{% endif ${right}%}`,
    );
    if (marked !== source) {
      const turns = spansIn(this.#render(marked, messages, options), text);
      if (turns) return { text, turns };
    }
    return { text, turns: this.#turnsByParts(text, messages, options) };
  }

  /**
   * Locates turns by rendering prefixes: a turn is what the conversation up to it adds to the prompt before it. If the
   * template renders a turn differently once others follow, the turn is its marked content and the special token after it.
   */
  #turnsByParts(text: string, messages: readonly ChatMessage[], options: ChatTemplateOptions): TextSpan[] {
    let contents: (TextSpan | undefined)[] | undefined;
    const turns: TextSpan[] = [];
    for (const [i, { role }] of messages.entries()) {
      if (role !== "assistant") continue;
      const turn = this.#turnByPrefixes(text, messages, i, options);
      contents ??= turn ? undefined : this.#contentSpans(text, messages, options);
      const found = turn ?? contents![turns.length];
      if (!found) {
        throw new UserError(
          `${this.location}: the chat template does not show which part of its text turn ${i + 1} is; mark what the assistant writes with {% generation %}`,
        );
      }
      turns.push(found);
    }
    return turns;
  }

  #turnByPrefixes(
    text: string,
    messages: readonly ChatMessage[],
    turn: number,
    options: ChatTemplateOptions,
  ): TextSpan | undefined {
    // Without messages, templates write nothing, not even the prompt.
    if (turn === 0) return undefined;
    try {
      const before = this.render(messages.slice(0, turn), { ...options, addGenerationPrompt: true });
      const last = turn === messages.length - 1;
      const whole = last ? text : this.render(messages.slice(0, turn + 1), options);
      if (!whole.startsWith(before) || !text.startsWith(whole)) return undefined;
      return { start: before.length, end: before.length + whole.slice(before.length).trimEnd().length };
    } catch (error) {
      // A template may reject part of a conversation that it accepts as a whole.
      if (error instanceof UserError) return undefined;
      throw error;
    }
  }

  /** Locates the content of the assistant's turns, with the special token after it; undefined if that is impossible. */
  #contentSpans(
    text: string,
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions,
  ): (TextSpan | undefined)[] {
    const marked = messages.map((message) => {
      const { role, content } = message;
      if (role !== "assistant" || !content?.trim()) return message;
      // Templates may trim contents, so the marks go inside the trimmed text.
      const before = content.length - content.trimStart().length;
      const after = content.trimEnd().length;
      const core = BEGIN + content.slice(before, after) + END;
      return { ...message, content: content.slice(0, before) + core + content.slice(after) };
    });
    const spans = spansIn(this.render(marked, options), text) ?? [];
    const ofTurns = marked.filter(({ role }) => role === "assistant");
    const withContent = ofTurns.filter(({ content }) => content?.includes(BEGIN));
    if (spans.length !== withContent.length) return [];
    const tokens = Object.values(this.tokens).filter((token) => token !== "");
    return ofTurns.map((message) => {
      const span = spans[withContent.indexOf(message)];
      if (!span) return undefined;
      const rest = text.slice(span.end);
      const ended = /^\s*(<[^<>\s]*>)/.exec(rest);
      const closing = ended && (tokens.includes(ended[1]!) || ended[1]!.startsWith("<|") || /end|eot/.test(ended[1]!));
      return closing ? { start: span.start, end: span.end + ended[0].length } : span;
    });
  }

  /** @throws UserError if there is no suitable template. */
  #sourceFor({ tools }: ChatTemplateOptions): string {
    const source = (tools ? this.sources.tool_use : undefined) ?? this.sources.default;
    if (source !== undefined) return source;
    throw new UserError(
      `${this.location} has chat templates named ${Object.keys(this.sources).join(", ")}, but none is the default; name one "default"`,
    );
  }

  #render(
    source: string,
    messages: readonly ChatMessage[],
    { tools, addGenerationPrompt }: ChatTemplateOptions,
  ): string {
    try {
      const template = this.#compiled.get(source) ?? new BoundedTemplate(source);
      this.#compiled.set(source, template);
      return template.render({
        messages,
        tools: tools ?? null,
        documents: null,
        add_generation_prompt: addGenerationPrompt ?? false,
        ...this.tokens,
      });
    } catch (error) {
      throw new UserError(`${this.location}: the chat template fails: ${(error as Error).message}`);
    }
  }
}

/** Returns the ranges between pairs of marks, or undefined if the text without marks differs. */
function spansIn(marked: string, text: string): TextSpan[] | undefined {
  const spans: TextSpan[] = [];
  let removed = 0;
  for (const { index, 0: mark } of marked.matchAll(/[\ufdd0\ufdd1]/g)) {
    const position = index - removed++;
    if (mark === BEGIN) spans.push({ start: position, end: position });
    else if (spans.length > 0) spans.at(-1)!.end = position;
  }
  return marked.replace(/[\ufdd0\ufdd1]/g, "") === text ? spans : undefined;
}
