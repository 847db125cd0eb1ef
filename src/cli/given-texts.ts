import { linesOf } from "../datasets/parse-table.ts";

/** Line breaks and tabs would end the line or its column. */
export const inOneLine = (text: string): string => text.replace(/\s*[\r\n\t]\s*/g, " ");

/** The lines of stdin, empty ones among them, where something is piped in. */
export async function linesOfStdin(): Promise<string[]> {
  if (process.stdin.isTTY) return [];
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return linesOf(Buffer.concat(chunks).toString("utf8"), true).map(({ content }) => content);
}
