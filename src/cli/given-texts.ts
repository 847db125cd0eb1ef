import { LineSplitter } from "../datasets/lines.ts";

/** Replaces line breaks and tabs, which would end the line or its column. */
export const inOneLine = (text: string): string => text.replace(/\s*[\r\n\t]\s*/g, " ");

/** Lines of stdin, including empty ones, if input is piped. */
export async function linesOfStdin(): Promise<string[]> {
  if (process.stdin.isTTY) return [];
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return new LineSplitter(true).rest(Buffer.concat(chunks).toString("utf8")).map(({ content }) => content);
}
