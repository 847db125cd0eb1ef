// How many greedy answers of llama.cpp over one GGUF file are, token by token, its answers over another: beside bench/same-answers.ts.
//
//     node llama_cpp_same_answers.mjs FOLDER LEFT.gguf RIGHT.gguf DOCUMENTS.jsonl [PROMPTS]
//
// FOLDER is where `npm install node-llama-cpp` was run, DOCUMENTS a file of DialogSum's with a `dialogue` in each line, PROMPTS how many
// documents are answered (100). The files hold one model, such as one in F32 and the same in Q8_0.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

// As in bench/same-answers.ts.
const [PROMPT_TOKENS, NEW_TOKENS] = [200, 32];
const [folder, left, right, documents, prompts = "100"] = process.argv.slice(2);
const entry = createRequire(join(folder, "x.js")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry));
const llama = await getLlama({ gpu: false, maxThreads: 1, build: "never", logLevel: "error" });
const lines = readFileSync(documents, "utf8").trim().split("\n").slice(0, Number(prompts));

async function answers(modelPath) {
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ contextSize: 256, threads: 1 });
  const sequence = context.getSequence();
  const all = [];
  for (const line of lines) {
    await sequence.clearHistory();
    const written = [];
    let next = model.tokenize(JSON.parse(line).dialogue).slice(0, PROMPT_TOKENS);
    // An answer goes on where it ends, too.
    while (written.length < NEW_TOKENS) {
      for await (const token of sequence.evaluate(next, { temperature: 0, yieldEogToken: true })) {
        written.push(token);
        next = [token];
        if (written.length === NEW_TOKENS) break;
      }
    }
    all.push(written.join());
  }
  await context.dispose();
  return all;
}

const [ofLeft, ofRight] = [await answers(left), await answers(right)];
const same = ofLeft.filter((answer, i) => answer === ofRight[i]).length;
console.log(`${same} of ${lines.length} answers of ${NEW_TOKENS} tokens are the same`);
await llama.dispose();
