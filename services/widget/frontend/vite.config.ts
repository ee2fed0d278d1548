import { defineConfig, type Plugin } from "vite";

// Two builds into the folder that the Python service serves: the pages' entries with hashed assets,
// and the loader, whose address stands in other people's pages and never changes.
const OUT = "../static";

// Style of the loader's shadow root: a string of the script, written for people, sent without gaps.
const tightStyle: Plugin = {
  name: "tight-style",
  transform: (code, id) => (id.endsWith("loader/style.ts") ? code.replace(/\s*\n\s*/g, "\n").replace(/\n(?=[^e`/])/g, "") : undefined),
};

export default defineConfig(({ mode }) => ({
  base: "/widget/",
  publicDir: false,
  plugins: [tightStyle],
  build: {
    outDir: OUT,
    target: "es2022",
    cssTarget: "chrome123",
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    assetsInlineLimit: 0,
    emptyOutDir: mode !== "loader",
    manifest: mode === "loader" ? false : "manifest.json",
    rolldownOptions:
      mode === "loader"
        ? { input: "src/loader/loader.ts", output: { format: "iife", entryFileNames: "loader.js" } }
        : {
            output: { codeSplitting: { groups: [{ name: "shared", minShareCount: 2 }] } },
            input: { app: "src/app/main.tsx", desk: "src/desk/main.tsx", demo: "src/demo/main.tsx" },
          },
  },
}));
