import type { Choices } from "./choices.ts";
import { byId, element, fillSelect, tableOf } from "./dom.ts";
import type { FileFacts, TaskFacts } from "./examples-file.ts";
import { attempt } from "./problems.ts";
import { showRowProblems } from "./row-problems-view.ts";
import type { TrainingHandlers } from "./training-worker.ts";
import type { Called } from "./worker-calls.ts";

/** Labels that are named with their counts. */
const SHOWN_LABELS = 12;

export interface DataStep {
  /** Lets no file be chosen while a run goes on. */
  lock(locked: boolean): void;
  /** Shows a file that was read before. */
  show(
    file: FileFacts,
    columns: { text?: string; textPair?: string; label?: string },
    kind: string | undefined,
  ): Promise<void>;
}

/** The step in which examples are chosen. @param onTask hears what the columns hold; undefined while they hold nothing */
export function setUpDataStep(
  training: Called<TrainingHandlers>,
  choices: Promise<Choices>,
  onTask: (task: TaskFacts | undefined) => void,
): DataStep {
  const [drop, file] = [byId("drop", HTMLElement), byId("file", HTMLInputElement)];
  const example = byId("example", HTMLButtonElement);
  const [text, pair, label, kind] = ["text", "text-pair", "label", "kind"].map((id) => byId(id, HTMLSelectElement)) as [
    HTMLSelectElement,
    HTMLSelectElement,
    HTMLSelectElement,
    HTMLSelectElement,
  ];

  const read = async (content: Blob, name: string): Promise<void> => {
    onTask(undefined);
    byId("columns", HTMLElement).hidden = true;
    byId("file-facts", HTMLElement).textContent = "";
    const facts = await attempt("data-problem", () => training.readFile(content, name));
    if (!facts) return;
    await show(facts, facts.guess, undefined);
    await chooseColumns();
  };

  const show: DataStep["show"] = async (
    { name, columns, rows, first },
    { text: textColumn = "", textPair = "", label: labelColumn = "" },
    ofKind,
  ) => {
    byId("columns", HTMLElement).hidden = false;
    byId("file-facts", HTMLElement).textContent =
      `${name}: ${rows.toLocaleString("en-US")} rows, ${columns.length === 1 ? "1 column" : `${columns.length} columns`}.`;
    const named = Object.fromEntries(columns.map((column) => [column, column]));
    fillSelect(text, { "": "automatic", ...named }, textColumn);
    fillSelect(pair, { "": "none", ...named }, textPair);
    fillSelect(label, { "": "automatic", ...named }, labelColumn);
    const { kinds } = await choices;
    const all = Object.fromEntries(kinds.map(({ name: each }) => [each, each.replaceAll("-", " ")]));
    fillSelect(kind, { "": "by the rows", ...all }, ofKind ?? "");
    byId("preview", HTMLElement).replaceChildren(tableOf("The first rows", columns, first));
  };

  const chooseColumns = async (): Promise<void> => {
    onTask(undefined);
    const shown = byId("task-facts", HTMLElement);
    shown.replaceChildren();
    showRowProblems(undefined);
    const columns = {
      ...(text.value && { text: text.value }),
      ...(pair.value && { textPair: pair.value }),
      ...(label.value && { label: label.value }),
    };
    const task = await attempt("data-problem", () => training.chooseColumns(columns, kind.value || undefined));
    if (!task) return;
    shown.replaceChildren(...factsOf(task));
    onTask(task);
    showRowProblems(await attempt("data-problem", () => training.rowProblems()));
  };

  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    // The same file may be chosen again, when it was mended.
    if (chosen)
      void read(chosen, chosen.name).finally(() => {
        file.value = "";
      });
  });
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.toggle("over", !file.disabled);
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const dropped = event.dataTransfer?.files[0];
    if (dropped && !file.disabled) void read(dropped, dropped.name);
  });
  // A file that misses the field must not replace the page.
  for (const kindOfEvent of ["dragover", "drop"]) addEventListener(kindOfEvent, (event) => event.preventDefault());
  example.addEventListener("click", async () => {
    const response = await fetch("examples/tickets.csv");
    await read(await response.blob(), "tickets.csv");
  });
  for (const select of [text, pair, label, kind]) select.addEventListener("change", () => void chooseColumns());

  file.disabled = example.disabled = false;

  return {
    show,
    lock(locked) {
      for (const control of [file, example, text, pair, label, kind]) control.disabled = locked;
    },
  };
}

function factsOf({ kind, summary, examples, labels }: TaskFacts): Node[] {
  const sentence = element("p", [
    element("strong", `${examples.toLocaleString("en-US")} examples`),
    `: ${summary} (${kind.replaceAll("-", " ")})${labels.length > 0 ? `; ${labels.length} labels:` : "."}`,
  ]);
  const chips = labels
    .slice(0, SHOWN_LABELS)
    .map(({ name, count }) => element("li", [`${name} `, element("b", count.toLocaleString("en-US"))]));
  if (labels.length > SHOWN_LABELS) chips.push(element("li", `and ${labels.length - SHOWN_LABELS} more`));
  return chips.length > 0 ? [sentence, element("ul", chips, { class: "chips" })] : [sentence];
}
