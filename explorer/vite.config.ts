import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// One module without names from elsewhere, which the Python package puts into every page it writes.
export default defineConfig({
  build: {
    target: "es2022",
    outDir: fileURLToPath(new URL("../src/heedful/explore/assets", import.meta.url)),
    emptyOutDir: false,
    copyPublicDir: false,
    modulePreload: false,
    // Only ASCII, so that a page in any encoding carries the same bytes.
    rollupOptions: {
      input: fileURLToPath(new URL("src/main.ts", import.meta.url)),
      output: { format: "es", entryFileNames: "explorer.js" },
    },
  },
  esbuild: { charset: "ascii", legalComments: "none" },
});
