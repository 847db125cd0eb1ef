import { z } from "zod";

// Zod tries to compile functions from text, which the page's policy forbids and the browser would report. Imported before any schema.
z.config({ jitless: true });
