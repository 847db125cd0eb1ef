import type { Theme } from "vitepress";
import theme from "vitepress/theme-without-fonts";
import { defineAsyncComponent } from "vue";
import "./style.css";

export default {
  extends: theme,
  // Only its page loads the playground.
  enhanceApp: ({ app }) =>
    void app.component(
      "Playground",
      defineAsyncComponent(() => import("./Playground.vue")),
    ),
} satisfies Theme;
