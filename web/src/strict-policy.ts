import { z } from "zod";

// Zod tries whether it may make functions of text, which the page's policy forbids and the browser would report. Imported before any schema.
z.config({ jitless: true });
