import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { z } from "zod";
import { opt, UserError } from "../errors.ts";
import { writeFailure } from "../files/atomic-file-node.ts";
import { holdFolder, type Release } from "../files/kernel-lock-node.ts";
import type { LabelVote } from "./label-by-model.ts";
import type { NamedLabel } from "./named-labels.ts";

/** Question behind votes. If any part differs, the answers would differ. */
export interface VoteQuestion {
  labels: readonly NamedLabel[];
  model: string;
  instructions?: string | undefined;
}

const voteSchema = z.object({
  /** SHA-256 of the text. */
  text: z.string(),
  vote: z.int().min(0),
  label: z.string().nullable(),
  said: z.string().optional(),
  tokens: z.object({ read: z.number(), written: z.number() }),
});

type StoredVote = z.output<typeof voteSchema>;

/**
 * A file of paid votes in JSON Lines: the question, then one vote per line as they come. A killed process loses only its unfinished
 * requests: an incomplete line is removed when the file is opened again.
 */
export class VoteFile {
  #written: Promise<void> = Promise.resolve();

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
    private readonly release: Release,
    private readonly stored: readonly StoredVote[],
  ) {}

  /** Opens or creates a file of votes. Locks it against other processes of this host. */
  static async open(path: string, question: VoteQuestion): Promise<VoteFile> {
    const file = await open(path, "a+").catch((error: unknown) => {
      throw writeFailure(path, error);
    });
    let release: Release | undefined;
    try {
      release = await holdFolder(path);
      if (!release) throw new UserError(`another process is writing ${path}; wait until it ends`);
      const text = await file.readFile("utf8");
      const whole = text.slice(0, text.lastIndexOf("\n") + 1);
      if (whole !== text) await file.truncate(Buffer.byteLength(whole));
      const [first, ...lines] = whole.split("\n").slice(0, -1);
      const labels = question.labels.toSorted((a, b) => (a.name < b.name ? -1 : 1));
      const own = JSON.stringify({ ...question, labels });
      if (first === undefined) await file.appendFile(`${own}\n`);
      else if (first !== own) {
        throw new UserError(
          `${path} holds answers of another model, or for other labels or instructions; use those again, give another ${opt("output")}, or remove the file`,
        );
      }
      return new VoteFile(
        path,
        file,
        release,
        lines.map((line, i) => storedVote(line, `${path}, line ${i + 2}`)),
      );
    } catch (error) {
      await release?.();
      await file.close();
      throw writeFailure(path, error);
    }
  }

  votesOn(texts: readonly string[]): LabelVote[] {
    const byHash = new Map([...new Set(texts)].map((text) => [hashOf(text), text]));
    return this.stored.flatMap(({ text: hash, ...vote }) => {
      const text = byHash.get(hash);
      return text === undefined ? [] : [{ text, ...vote }];
    });
  }

  add({ text, ...vote }: LabelVote): Promise<void> {
    const line = `${JSON.stringify({ text: hashOf(text), ...vote })}\n`;
    this.#written = this.#written
      .then(() => this.file.appendFile(line))
      .catch((error: unknown) => {
        throw writeFailure(this.path, error);
      });
    return this.#written;
  }

  async close(): Promise<void> {
    await this.file.sync();
    await this.file.close();
    await this.release();
  }
}

function storedVote(line: string, place: string): StoredVote {
  try {
    return voteSchema.parse(JSON.parse(line));
  } catch {
    throw new UserError(`${place} is damaged; remove that line, and its text is asked for again`);
  }
}

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");
