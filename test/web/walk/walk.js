// Walks through the page, which stands in a frame, as a person would, and posts what was seen: for browsers that nothing here drives.
const frame = document.querySelector("iframe");
const problems = [];
const tell = (seen) => fetch("/told", { method: "POST", body: JSON.stringify({ ...seen, problems }) });

const find = (selector) => frame.contentDocument.querySelector(selector);
const textOf = (selector) => find(selector)?.textContent ?? "";

async function until(what, holds) {
  for (let waited = 0; waited < 240_000; waited += 100) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(
    `waited for ${what} in vain; the page says "${textOf("#progress-text")}" "${textOf(".problem:not(:empty)")}"`,
  );
}

function put(selector, value) {
  const field = find(selector);
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.dispatchEvent(new Event("change", { bubbles: true }));
}

try {
  await new Promise((resolve) => {
    if (frame.contentDocument.readyState === "complete" && find("#file")) resolve();
    else frame.addEventListener("load", resolve);
  });
  frame.contentWindow.addEventListener("error", ({ message }) => problems.push(message));
  frame.contentDocument.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    problems.push(`${violatedDirective} forbids ${blockedURI}`),
  );
  const { csv, question, options } = await (await fetch("/walk.json")).json();

  await until("the field for files", () => find("#file:enabled"));
  const given = new frame.contentWindow.DataTransfer();
  given.items.add(new frame.contentWindow.File([csv], "reviews.csv"));
  find("#file").files = given.files;
  find("#file").dispatchEvent(new Event("change", { bubbles: true }));
  await until("the model's facts", () => /million weights/.test(textOf("#model-facts")));
  for (const [id, value] of Object.entries(options)) put(`#${id}`, String(value));
  find("#start").click();
  await until("the end of training", () => /^Done/.test(textOf("#progress-text")) || textOf("#train-problem") !== "");

  put("#ask-text", question);
  find("#ask button[type=submit]").click();
  await until("an answer", () => find("#answer .name"));
  const figures = [...frame.contentDocument.querySelectorAll("#look figure")];
  const loss = figures.find((figure) => figure.querySelector("h2")?.textContent === "Loss");
  const rows = [...loss.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent));
  await tell({
    isolated: crossOriginIsolated,
    problem: textOf("#train-problem"),
    losses: rows.filter(([, training]) => training).map(([, training]) => Number(training)),
    pictures: figures.filter((figure) => figure.querySelector("svg")).length,
    answer: textOf("#answer .name"),
  });
} catch (error) {
  await tell({ failed: String(error) });
}
