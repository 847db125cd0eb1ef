import { PAGES } from "./pages.ts";
import { walk } from "./walk.ts";

walk(PAGES.filter((page) => /^docs\/[f-p]/.test(page) && page !== "docs/learn-classify.md"));
