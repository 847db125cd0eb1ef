import { UserError } from "../../src/errors.ts";
import { byId } from "./dom.ts";

export function showProblem(id: string, error?: unknown): void {
  const said = byId(id, HTMLElement);
  if (error === undefined) {
    said.textContent = "";
    return;
  }
  const message = error instanceof Error ? error.message : String(error);
  said.textContent = capital(error instanceof UserError ? message : `This is a defect of aflora: ${message}`);
  said.scrollIntoView({ block: "nearest" });
}

/** Runs an action and shows its error. @returns its result; undefined if it failed */
export async function attempt<Value>(id: string, action: () => Promise<Value>): Promise<Value | undefined> {
  showProblem(id);
  try {
    return await action();
  } catch (error) {
    showProblem(id, error);
    return undefined;
  }
}

/** Capitalises a sentence. File names keep their letters. */
export const capital = (text: string): string =>
  /^[a-z]+ /.test(text) ? text[0]!.toUpperCase() + text.slice(1) : text;
