// How the dashboard is built, and how it is worked on: `npm run dev` serves it with a running
// server behind it (TRADEWIND_URL, by default the port of `tradewind demo`).
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const server = process.env["TRADEWIND_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig(({ mode }) => ({
  plugins: [react()],
  // React counts renders in this build alone; tests/acceptance/shop.py looks at it.
  resolve: { alias: mode === "profiling" ? [{ find: "react-dom/client", replacement: "react-dom/profiling" }] : [] },
  // ECharts is 515 kB before compression, 146 kB after, and is fetched beside the first paint.
  build: { chunkSizeWarningLimit: 600, target: "es2023", assetsInlineLimit: 0, modulePreload: { polyfill: false },
    rolldownOptions: { input: ["index.html", "shop.html"] } },
  server: {
    // The server answers pages of its own address alone.
    proxy: Object.fromEntries(["/api", "/shop/api", "/v1", "/tw.js"].map((path) =>
      [path, { target: server, changeOrigin: true, headers: { origin: server } }])),
  },
}));
