import { UserError } from "../../errors.ts";
import { writeAtomically } from "../../files/atomic-file-node.ts";
import {
  evaluateSearch,
  type SearchEvaluation,
  type SearchEvaluationOptions,
} from "../../inference/retrieval/evaluate-search-node.ts";
import { downloadLine } from "../terminal/download-line.ts";
import { comparedTable, counted } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine } from "../terminal/progress-line.ts";

export type CorpusFiles = Pick<SearchEvaluationOptions, "corpus" | "queries" | "qrels" | "dimensions"> & {
  output?: string;
};

/** Whether a flag is given that applies only to a search on a corpus. */
export const asksForSearch = (given: Partial<CorpusFiles>): boolean =>
  [given.corpus, given.queries, given.qrels, given.dimensions].some((each) => each !== undefined);

/** Measures a run's search and prints the scores. @throws UserError if one of the files is not given */
export async function evaluateOnCorpus(run: string, given: Partial<CorpusFiles>, json: boolean): Promise<void> {
  const { corpus, queries, qrels, output, ...others } = given;
  if (corpus === undefined || queries === undefined || qrels === undefined) {
    throw new UserError("to evaluate a search, give all three: --corpus FILE --queries FILE --qrels FILE");
  }
  let progress: { what: string; line: ProgressLine } | undefined;
  const evaluation = await evaluateSearch(run, {
    ...others,
    ...{ corpus, queries, qrels },
    onProgress: downloadLine(),
    onStage(what, done, of) {
      if (progress?.what !== what) {
        progress?.line.end();
        progress = { what, line: new ProgressLine(what, "texts", of) };
      }
      if (done > 0) progress.line.at(done);
    },
  });
  progress?.line.end();
  if (output !== undefined) {
    const { renderSearch } = await import("../../reports/search-page.ts");
    await writeAtomically(output, (file) => file.writeFile(renderSearch(evaluation)));
  }
  print(json ? `${JSON.stringify(evaluation, null, 2)}\n` : `${describeSearch(evaluation)}\n`);
}

function describeSearch({ corpus, queries, systems }: SearchEvaluation): string {
  return `${counted(queries, "query", "queries")} against ${counted(corpus, "text")}\n${comparedTable(systems)}`;
}
