/** What is timed: a prompt with the first token after it, the tokens that follow, or those of eight prompts at once. */
export type WritingMode = "first" | "write" | "eight";

export const [PROMPT_TOKENS, NEW_TOKENS] = [200, 64];

/** Modes with what they are and the tokens of one round. */
export const MODES: Readonly<Record<WritingMode, { what: string; tokens: number }>> = {
  first: { what: `a prompt of ${PROMPT_TOKENS} tokens, up to the first token of the answer`, tokens: PROMPT_TOKENS },
  write: { what: `${NEW_TOKENS} tokens that follow it`, tokens: NEW_TOKENS },
  eight: { what: `${NEW_TOKENS} tokens each that follow eight prompts at once`, tokens: 8 * NEW_TOKENS },
};
