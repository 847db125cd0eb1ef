import type { RewardFunction } from "aflora";

/** Half for a solution of some words, half for an end such as "#### 12"; both only where "####" stands there once. */
const reward: RewardFunction = (_prompt, answer) => {
  const [solution, end, ...others] = answer.split("####");
  if (end === undefined || others.length > 0) return 0;
  return (solution!.trim().length >= 20 ? 0.5 : 0) + (/^\s*-?[\d,.]+\s*$/.test(end) ? 0.5 : 0);
};
export default reward;
