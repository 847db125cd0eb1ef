/**
 * Shows control characters, apart from line breaks and tabs, as `\u001b`: names, labels and answers come from others, and must not
 * steer a terminal. JSON has the same escapes, so that its values stay the same.
 */
export const withoutControls = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
  text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Writes to stdout. */
export const print = (text: string): void => void process.stdout.write(withoutControls(text));

/** Writes to stderr: progress, notes and errors. */
export const say = (text: string): void => void process.stderr.write(withoutControls(text));
