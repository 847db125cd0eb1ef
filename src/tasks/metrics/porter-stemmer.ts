// Porter's algorithm (Porter 1980, "An algorithm for suffix stripping") with NLTK's changes, as in Python's rouge-score:
// scores agree only if stems do.

const IRREGULAR = new Map([
  ["skies", "sky"],
  ["dying", "die"],
  ["lying", "lie"],
  ["tying", "tie"],
  ["innings", "inning"],
  ["outings", "outing"],
  ["cannings", "canning"],
  ...["sky", "news", "inning", "outing", "canning", "howe", "proceed", "exceed", "succeed"].map(
    (word) => [word, word] as const,
  ),
]);

function isConsonant(word: string, i: number): boolean {
  if ("aeiou".includes(word[i]!)) return false;
  return word[i] !== "y" || i === 0 || !isConsonant(word, i - 1);
}

/** Number of times that a consonant follows a vowel: m in the paper. */
function measure(stem: string): number {
  let count = 0;
  for (let i = 1; i < stem.length; i++) if (isConsonant(stem, i) && !isConsonant(stem, i - 1)) count++;
  return count;
}

const hasVowel = (stem: string): boolean => [...stem].some((_, i) => !isConsonant(stem, i));

const endsInDouble = (word: string): boolean => word.at(-1) === word.at(-2) && isConsonant(word, word.length - 1);

/** Whether a word of measure 1 ends in consonant, vowel, consonant other than w, x and y. NLTK also accepts a lone vowel and consonant. */
function endsInCvc(word: string): boolean {
  const last = word.length - 1;
  if (last === 1) return true;
  const pattern = isConsonant(word, last - 2) && !isConsonant(word, last - 1) && isConsonant(word, last);
  return pattern && !"wxy".includes(word[last]!);
}

type Rule = readonly [suffix: string, replacement: string];

/** Applies the first rule whose suffix matches, if the stem fits. No other rule is tried. */
function replace(word: string, rules: readonly Rule[], fits: (stem: string) => boolean): string {
  const rule = rules.find(([suffix]) => word.endsWith(suffix));
  if (!rule) return word;
  const stem = word.slice(0, word.length - rule[0].length);
  return fits(stem) ? stem + rule[1] : word;
}

function plural(word: string): string {
  if (word.endsWith("ies") && word.length === 4) return word.slice(0, -1);
  const rules = [
    ["sses", "ss"],
    ["ies", "i"],
    ["ss", "ss"],
    ["s", ""],
  ] as const;
  return replace(word, rules, () => true);
}

function past(word: string): string {
  if (word.endsWith("ied")) return word.slice(0, word.length === 4 ? -1 : -2);
  if (word.endsWith("eed")) return measure(word.slice(0, -3)) > 0 ? word.slice(0, -1) : word;
  const suffix = ["ed", "ing"].find((ending) => word.endsWith(ending) && hasVowel(word.slice(0, -ending.length)));
  if (!suffix) return word;
  const stem = word.slice(0, -suffix.length);
  if (/(at|bl|iz)$/.test(stem)) return `${stem}e`;
  if (endsInDouble(stem)) return "lsz".includes(stem.at(-1)!) ? stem : stem.slice(0, -1);
  return measure(stem) === 1 && endsInCvc(stem) ? `${stem}e` : stem;
}

const finalY = (word: string): string =>
  replace(word, [["y", "i"]], (stem) => stem.length > 1 && isConsonant(stem, stem.length - 1));

const DOUBLE_SUFFIXES: readonly Rule[] = [
  ...([
    ["ational", "ate"],
    ["tional", "tion"],
    ["enci", "ence"],
    ["anci", "ance"],
    ["izer", "ize"],
  ] as const),
  ...([
    ["bli", "ble"],
    ["alli", "al"],
    ["entli", "ent"],
    ["eli", "e"],
    ["ousli", "ous"],
  ] as const),
  ...([
    ["ization", "ize"],
    ["ation", "ate"],
    ["ator", "ate"],
    ["alism", "al"],
    ["iveness", "ive"],
  ] as const),
  ...([
    ["fulness", "ful"],
    ["ousness", "ous"],
    ["aliti", "al"],
    ["iviti", "ive"],
    ["biliti", "ble"],
  ] as const),
  ["fulli", "ful"],
];

function doubleSuffix(word: string): string {
  if (word.endsWith("alli") && measure(word.slice(0, -4)) > 0) return doubleSuffix(word.slice(0, -2));
  // The l is part of the stem that is measured.
  if (word.endsWith("logi")) return measure(word.slice(0, -3)) > 0 ? word.slice(0, -1) : word;
  return replace(word, DOUBLE_SUFFIXES, (stem) => measure(stem) > 0);
}

const adjective = (word: string): string => {
  const rules = [
    ...([
      ["icate", "ic"],
      ["ative", ""],
      ["alize", "al"],
      ["iciti", "ic"],
      ["ical", "ic"],
    ] as const),
    ...([
      ["ful", ""],
      ["ness", ""],
    ] as const),
  ];
  return replace(word, rules, (stem) => measure(stem) > 0);
};

const SUFFIXES = "al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize".split(" ");

function suffix(word: string): string {
  const ending = SUFFIXES.find((each) => word.endsWith(each));
  return replace(word, ending ? [[ending, ""]] : [], (stem) => {
    return measure(stem) > 1 && (ending !== "ion" || /[st]$/.test(stem));
  });
}

function finalE(word: string): string {
  if (!word.endsWith("e")) return word;
  const stem = word.slice(0, -1);
  const m = measure(stem);
  return m > 1 || (m === 1 && !endsInCvc(stem)) ? stem : word;
}

const finalL = (word: string): string =>
  word.endsWith("ll") && measure(word.slice(0, -1)) > 1 ? word.slice(0, -1) : word;

export function stem(word: string): string {
  const irregular = IRREGULAR.get(word);
  if (irregular !== undefined || word.length <= 2) return irregular ?? word;
  return [plural, past, finalY, doubleSuffix, adjective, suffix, finalE, finalL].reduce(
    (form, step) => step(form),
    word,
  );
}
