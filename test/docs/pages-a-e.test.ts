import { PAGES } from "./pages.ts";
import { walk } from "./walk.ts";

walk(PAGES.filter((page) => /^docs\/[a-e]/.test(page)));
