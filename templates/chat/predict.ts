import { loadFineTunedModel } from "aflora";

const question = process.argv[2] ?? "How do I reset my password?";

const model = await loadFineTunedModel("runs/chat");
for await (const piece of model.answer(question, { maxNewTokens: 60 })) process.stdout.write(piece);
process.stdout.write("\n");
await model.release();
