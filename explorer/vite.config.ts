import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// Modules without names from elsewhere: of every page that the Python package writes, of live pages, and of notebooks.
export default defineConfig({
  build: {
    target: "es2022",
    outDir: fileURLToPath(new URL("../src/heedful/explore/assets", import.meta.url)),
    emptyOutDir: false,
    copyPublicDir: false,
    modulePreload: false,
    // Only ASCII, so that a page in any encoding carries the same bytes.
    rollupOptions: {
      input: {
        explorer: fileURLToPath(new URL("src/main.ts", import.meta.url)),
        transport: fileURLToPath(new URL("src/transport.ts", import.meta.url)),
        widget: fileURLToPath(new URL("src/widget.ts", import.meta.url)),
      },
      preserveEntrySignatures: "strict",
      output: { format: "es", entryFileNames: "[name].js" },
    },
  },
  esbuild: { charset: "ascii", legalComments: "none" },
});
