// How the dashboard is built: everything it needs in files of its own, for its Content-Security-Policy allows nothing else.
import { defineConfig } from 'vite'

export default defineConfig({
  root: import.meta.dirname,
  logLevel: 'warn',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    // Nothing as a data: URL, which the policy would refuse.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The editor is large, and loaded only when a query is to be written.
    chunkSizeWarningLimit: 700,
  },
  // `npx vite web` beside `npm start`: the page from its sources, the API as it runs.
  server: { proxy: { '/api': 'http://127.0.0.1:8080' } },
})
