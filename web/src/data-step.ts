import type { Choices } from "./choices.ts";
import { acceptDrops, byId, element, fillSelect, tableOf } from "./dom.ts";
import type { FileFacts, TaskFacts } from "./examples-file.ts";
import { chosenFolder, dropped, type GivenExamples } from "./given-examples.ts";
import { PhotoClasses } from "./photo-classes.ts";
import { attempt } from "./problems.ts";
import { showRowProblems } from "./row-problems-view.ts";
import type { TrainingHandlers } from "./training-worker.ts";
import type { Called } from "./worker-calls.ts";

const SHOWN_LABELS = 12;

export interface DataStep {
  /** Disables the choice of a file while a run trains. */
  lock(locked: boolean): void;
  show(
    file: FileFacts,
    columns: { text?: string; textPair?: string; label?: string },
    kind: string | undefined,
  ): Promise<void>;
}

/** Sets up the step for choosing examples. @param onTask receives the content of the columns; undefined if there is none */
export function setUpDataStep(
  training: Called<TrainingHandlers>,
  choices: Promise<Choices>,
  onTask: (task: TaskFacts | undefined) => void,
): DataStep {
  const [text, pair, label, kind] = ["text", "text-pair", "label", "kind"].map((id) => byId(id, HTMLSelectElement)) as [
    HTMLSelectElement,
    HTMLSelectElement,
    HTMLSelectElement,
    HTMLSelectElement,
  ];

  const read = async (given: GivenExamples | undefined): Promise<void> => {
    onTask(undefined);
    byId("columns", HTMLElement).hidden = true;
    byId("file-facts", HTMLElement).textContent = "";
    const facts = given && (await attempt("data-problem", () => training.read(given)));
    if (!facts) return;
    await show(facts, facts.guess, undefined);
    await chooseColumns();
  };

  const show: DataStep["show"] = async (
    { name, reads, columns, rows, first },
    { text: textColumn = "", textPair = "", label: labelColumn = "" },
    ofKind,
  ) => {
    byId("columns", HTMLElement).hidden = false;
    const ofPictures = reads !== undefined;
    for (const select of [text, pair, label]) select.parentElement!.hidden = ofPictures;
    const count = rows.toLocaleString("en-US");
    byId("file-facts", HTMLElement).textContent = ofPictures
      ? `${name}: ${count} pictures.`
      : `${name}: ${count} rows, ${columns.length === 1 ? "1 column" : `${columns.length} columns`}.`;
    const named = Object.fromEntries(columns.map((column) => [column, column]));
    fillSelect(text, { "": "automatic", ...named }, textColumn);
    fillSelect(pair, { "": "none", ...named }, textPair);
    fillSelect(label, { "": "automatic", ...named }, labelColumn);
    const { kinds } = await choices;
    const fitting = kinds.filter((each) => each.reads === reads);
    const all = Object.fromEntries(fitting.map(({ name: each }) => [each, each.replaceAll("-", " ")]));
    fillSelect(kind, { "": ofPictures ? "automatic" : "by the rows", ...all }, ofKind ?? "");
    byId("preview", HTMLElement).replaceChildren(...(ofPictures ? [] : [tableOf("The first rows", columns, first)]));
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

  for (const select of [text, pair, label, kind]) select.addEventListener("change", () => void chooseColumns());

  const sources = setUpSources(read);

  return {
    show(...given) {
      sources.photos.show({ name: given[0].name });
      return show(...given);
    },
    lock(locked) {
      for (const control of [text, pair, label, kind]) control.disabled = locked;
      sources.lock(locked);
    },
  };
}

/** Sets up the sources of examples. @param read reads them; undefined if there are none any more */
function setUpSources(read: (given: GivenExamples | undefined) => Promise<void>): {
  photos: PhotoClasses;
  lock(locked: boolean): void;
} {
  const [drop, file] = [byId("drop", HTMLElement), byId("file", HTMLInputElement)];
  const [example, choose, take] = ["example", "choose-photos", "take-photos"].map((id) =>
    byId(id, HTMLButtonElement),
  ) as [HTMLButtonElement, HTMLButtonElement, HTMLButtonElement];
  const folder = byId("photo-folder", HTMLInputElement);
  const photos = new PhotoClasses((given) => void read(given));
  const readNew = (given: GivenExamples): Promise<void> => {
    photos.show(given);
    return read(given);
  };
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    // The same file may be chosen again, when it was mended.
    if (chosen)
      void readNew({ name: chosen.name, file: chosen }).finally(() => {
        file.value = "";
      });
  });
  choose.addEventListener("click", () => folder.click());
  folder.addEventListener("change", () => {
    const files = [...(folder.files ?? [])];
    if (files.length > 0) void readNew(chosenFolder(files));
    folder.value = "";
  });
  take.addEventListener("click", async () => {
    take.disabled = true;
    await attempt("data-problem", () => photos.openCamera());
    take.disabled = false;
  });
  acceptDrops(drop, file, (transfer) => {
    const given = dropped(transfer);
    void attempt("data-problem", async () => readNew(await given));
  });
  // A file that misses the field must not replace the page.
  for (const kindOfEvent of ["dragover", "drop"]) addEventListener(kindOfEvent, (event) => event.preventDefault());
  example.addEventListener("click", async () => {
    const response = await fetch("examples/tickets.csv");
    await readNew({ name: "tickets.csv", file: await response.blob() });
  });
  const lock = (locked: boolean): void => {
    for (const source of [file, example, choose, take]) source.disabled = locked;
    photos.lock(locked);
  };
  lock(false);
  return { photos, lock };
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
