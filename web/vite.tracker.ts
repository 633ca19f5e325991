// The tracker: one file, for pages of any shop, small enough to load on each of them.
import { defineConfig } from "vite";

export default defineConfig({
  publicDir: false,
  build: {
    target: "es2020", emptyOutDir: false, outDir: "dist", modulePreload: false,
    lib: { entry: "tracker/main.ts", formats: ["iife"], name: "tradewindTracker", fileName: () => "tw.js" },
  },
});
