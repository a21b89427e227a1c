// Browser tests against a running server.
//
// BASE_URL names a server that is up already; without it, scripts/e2e-server.sh starts one
// on an empty data folder with a tiny model. CHROMIUM names the browser.
import { defineConfig } from "@playwright/test";
import { existsSync } from "node:fs";

const port = process.env.E2E_PORT ?? "3917";
const baseURL = process.env.BASE_URL ?? `http://127.0.0.1:${port}`;

// Without one of these, Playwright looks for the browser that it installed itself.
const browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = process.env.CHROMIUM ?? browsers.find((path) => existsSync(path));

const isLive = /quickstart\.spec\.ts/;

export default defineConfig({
  testDir: "./tests",
  outputDir: "./test-results",
  timeout: 60_000,
  expect: { timeout: 15_000 },
  retries: 0,
  // One server, one store: the tests take turns.
  workers: 1,
  reporter: "list",
  projects: [
    // Begins with the empty store and leaves a finished run behind for the others.
    { name: "quickstart", testMatch: isLive },
    { name: "pages", testIgnore: isLive, dependencies: ["quickstart"] },
  ],
  use: {
    baseURL,
    viewport: { width: 1280, height: 800 },
    screenshot: "only-on-failure",
    trace: "retain-on-failure",
    launchOptions: {
      executablePath,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
  webServer: process.env.BASE_URL
    ? undefined
    : {
        command: "../scripts/e2e-server.sh",
        url: `${baseURL}/health`,
        env: { E2E_PORT: port },
        reuseExistingServer: false,
        timeout: 1_200_000,
        stdout: "pipe",
        gracefulShutdown: { signal: "SIGTERM", timeout: 20_000 },
      },
});
