// What the tests share: a page that notices errors and foreign requests, and the server's API.
import { test as base, expect, type APIRequestContext, type Page } from "@playwright/test";

/** The variants of the tiny model, the baseline first. */
export const VARIANTS = ["tiny:f16", "tiny:int8", "tiny:int4"];

type Watched = { complaints: string[] };

/** A page whose errors, policy violations and requests to other hosts fail the test. */
export const test = base.extend<Watched>({
  complaints: async ({}, use) => {
    await use([]);
  },
  page: async ({ page, complaints, baseURL }, use) => {
    const host = new URL(baseURL!).host;
    page.on("pageerror", (error) => complaints.push(`page error: ${error}`));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("request", (request) => {
      const url = new URL(request.url());
      const isLocal = ["data:", "blob:"].includes(url.protocol) || url.host === host;
      if (!isLocal) complaints.push(`request to ${url.host}`);
    });
    await use(page);
    expect(complaints, "errors, policy violations or requests to other hosts").toEqual([]);
  },
});

export { expect };

/** Opens a page and waits until it takes part: events before that are lost. */
export async function open(page: Page, path: string) {
  await page.goto(path);
  await hydrated(page);
}

export async function hydrated(page: Page) {
  await page.waitForSelector("html[data-hydrated]", { state: "attached" });
}

/** Starts a run over the API and returns its number. */
export async function startRun(request: APIRequestContext, spec: object): Promise<number> {
  const response = await request.post("/api/runs", {
    data: { variants: VARIANTS, baseline: VARIANTS[0], suites: ["starter"], seed: 7, ...spec },
  });
  expect(response.status(), await response.text()).toBe(201);
  return (await response.json()).run_id;
}

/** The newest run that is done. */
export async function finishedRun(request: APIRequestContext): Promise<number> {
  const runs = await (await request.get("/api/runs")).json();
  const done = runs.find((run: { state: string }) => run.state === "done");
  expect(done, "a finished run").toBeTruthy();
  return done.run_id;
}

/** Waits until nothing is queued or running, so that one test's run does not slow the next one's. */
export async function settled(request: APIRequestContext) {
  await expect
    .poll(
      async () => {
        const runs = await (await request.get("/api/runs")).json();
        return runs.filter((run: { state: string }) => ["queued", "running"].includes(run.state)).length;
      },
      { timeout: 120_000 },
    )
    .toBe(0);
}

/** Starts a compression over the API, waits until it is done, and returns its number. */
export async function compressed(request: APIRequestContext, recipe: unknown, name?: string): Promise<number> {
  const response = await request.post("/api/v1/compress", { data: { model: "tiny", recipe, name } });
  expect(response.status(), await response.text()).toBe(201);
  const { run_id, state } = await response.json();
  await expect
    .poll(async () => (await (await request.get(state)).json()).summary.state, { timeout: 60_000 })
    .toBe("done");
  return run_id;
}
