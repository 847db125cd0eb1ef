import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { rewritings, writeTinyEncoderDecoder } from "../support/synthetic-rewriting.ts";
import { chats, questions, writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";
import { ROOT } from "./pages.ts";

/** Writes the data that the pages name into a project: few rows, and tickets.csv as a spreadsheet might have written it. */
export async function writeData(project: string): Promise<void> {
  const write = async (name: string, text: string): Promise<void> => {
    await mkdir(dirname(join(project, name)), { recursive: true });
    await writeFile(join(project, name), text);
  };
  const tickets = await readFile(join(ROOT, "examples/tickets.csv"), "utf8");
  await write("tickets.csv", messy(tickets));
  // As a spreadsheet writes it where a comma stands in numbers.
  const own = ['"My card was charged; twice";billing;no', '"The app\r\ndoes not open 😀";technical;yes'];
  await write("new.csv", `\ufeff${["message;team;urgent", ...own].join("\r\n")}\r\n`);

  const answers = ["yes", "no"].flatMap((label) =>
    [1, 2, 3].map((n) => JSON.stringify({ text: `Is ${n} a number?`, answer: `${label}, ${n}`, label })),
  );
  await write("train.jsonl", `${answers.join("\n")}\n`);
  await write("dev.jsonl", `${answers.slice(2, 4).join("\n")}\n`);
  const sentence = "Ada\tB-PER\nLovelace\tI-PER\nlived\tO\nin\tO\nLondon\tB-LOC\n";
  await write("news.conll", Array(10).fill(sentence).join("\n"));
  const stars = [1, 2, 3].flatMap((label) => [1, 2, 3, 4].map((n) => `"text ${n} of ${label} stars",${label}`));
  await write("reviews.csv", `text,label\n${stars.join("\n")}\n`);

  const pairs = ["entailment", "not_entailment"].flatMap((label, i) =>
    [1, 2].map((n) => `${i}${n}\tA man.\tOne ${i}${n}.\t${label}`),
  );
  for (const split of ["train", "dev"]) {
    await write(`glue/RTE/${split}.tsv`, `index\tsentence1\tsentence2\tlabel\n${pairs.join("\n")}\n`);
    await write(
      `glue/CoLA/${split}.tsv`,
      "a\t1\t\tA man sleeps.\nb\t0\t*\tMan a sleeps.\nc\t1\t\tHe sings.\nd\t0\t*\tSings he a.\n",
    );
  }
  const reviews = [0, 1].flatMap((label) =>
    [1, 2, 3, 4, 5].map((n) => `film ${n} is ${label ? "good" : "bad"}\t${label}`),
  );
  for (const split of ["train", "dev"])
    await write(`glue/SST-2/${split}.tsv`, `sentence\tlabel\n${reviews.join("\n")}\n`);
  // Decoders of random weights stand for those that the pages name.
  const decoders = ["HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct", "meta-llama/Llama-2-7b-hf"];
  for (const name of decoders) {
    await writeTinyLanguageModel(join(project, name), { template: name.endsWith("Instruct") ? "smollm2" : null });
  }
  for (const [name, family] of [
    ["facebook/bart-base", "bart"],
    ["google-t5/t5-small", "t5"],
  ] as const) {
    await writeTinyEncoderDecoder(join(project, name), family);
  }
  await writeJsonl(join(project, "articles.jsonl"), rewritings(40, 1));
  await write("new-articles.txt", "reverse ant bee\nshout cat\n");
  await write("bart-large/config.json", await readFile(join(ROOT, "studies/paper/bart-large.json"), "utf8"));
  await writeJsonl(join(project, "chat.jsonl"), chats(12));
  const asked = questions(12);
  const preferred = asked.map(({ prompt, completion }) => ({ prompt, chosen: completion, rejected: "No idea." }));
  await writeJsonl(join(project, "preferences.jsonl"), preferred);
  await writeJsonl(
    join(project, "prompts.jsonl"),
    asked.map(({ prompt }) => ({ prompt, city: "Zagreb" })),
  );
  await write("reward.ts", "export default (_: string, answer: string): number => answer.length;\n");
  await write(
    "pairs.csv",
    `question,answer\n${asked.map(({ prompt, completion }) => `"${prompt}","${completion}"`).join("\n")}\n`,
  );
  await write("questions.txt", "Where is the cat?\nWhere is the sea?\n");
  await mkdir(join(project, "gsm8k"));
  const solved = asked.map(({ prompt, completion }, i) => ({ question: prompt, answer: `${completion}\n#### ${i}` }));
  await writeJsonl(join(project, "gsm8k/train.jsonl"), solved);
  await writeJsonl(join(project, "gsm8k/test.jsonl"), solved.slice(0, 2));
  for (const config of ["config.json", "deberta-v3-base/config.json"]) {
    await write(config, await readFile(join(ROOT, "studies/paper/deberta-v3-base.json"), "utf8"));
  }
  for (const extension of ["tasks/ordinal-regression.ts", "outside/output-scales.ts"]) {
    const text = await readFile(join(ROOT, "test", extension), "utf8");
    const asPackage = text.replaceAll('"../../src/index.ts"', '"aflora"');
    await write(basename(extension), asPackage.replaceAll('"../../src/extend.ts"', '"aflora/extend"'));
  }
}

/** The same rows with a byte-order mark, CRLF, quotes, emoji and cells of several lines. */
function messy(csv: string): string {
  const [header, ...rows] = csv.trimEnd().split("\n");
  const odd = [
    '"They said ""paid"" 😀,\r\nbut my card was charged twice",billing,no',
    '"Bonjour, où est\r\n\r\nmon colis ? 📦",shipping,yes',
  ];
  return `\ufeff${[header, ...odd, ...rows].join("\r\n")}\r\n`;
}

/** Keeps this many rows of each of the demo's files, so that it takes seconds. */
export async function shortenDemo(project: string, rows: number): Promise<void> {
  for (const split of ["train", "dev"]) {
    const file = join(project, "node_modules/aflora/assets/sst2", `${split}.tsv`);
    const lines = (await readFile(file, "utf8")).split("\n");
    await writeFile(file, `${lines.slice(0, rows + 1).join("\n")}\n`);
  }
}
