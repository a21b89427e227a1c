// From the empty store to a finished run: what a first visitor does, with a tiny model.
import { expect, open, startRun, test, VARIANTS } from "./support";

test.describe.configure({ mode: "serial" });

test("an empty store says what to do", async ({ page }) => {
  await open(page, "/");
  await expect(page.getByText("Nothing has been measured yet")).toBeVisible();
  await expect(page.getByRole("button", { name: "Start the quickstart" })).toBeVisible();
  await page.goto("/tradeoffs");
  await expect(page.getByText("No results to compare yet")).toBeVisible();
  await page.goto("/runs");
  await expect(page.getByText("No runs yet")).toBeVisible();
});

test("the quickstart button leads to its run, which says why it failed and what to do", async ({ page }) => {
  // The server of the tests may not download anything, so the default model is out of reach.
  await open(page, "/");
  await page.getByRole("button", { name: "Start the quickstart" }).click();
  await expect(page).toHaveURL(/\/runs\/\d+$/);
  const alert = page.getByRole("alert").first();
  await expect(alert).toContainText("TRIMTAB_OFFLINE", { timeout: 30_000 });
  await expect(alert).toContainText("What to do");
  await expect(page.getByRole("button", { name: "Do what is left" })).toBeVisible();
});

test("results of a run appear as they land, without a reload", async ({ page, request }) => {
  test.setTimeout(300_000);
  // Long answers: the page looks once a second, and shall see the run half done.
  const decoding = { max_tokens: 1024 };
  const runId = await startRun(request, { title: "Tiny quickstart", limit: 4, decoding });
  await open(page, `/runs/${runId}`);
  await page.evaluate(() => ((window as any).marker = "same page"));
  await expect(page.locator(".live-state")).toContainText("Live");

  const seen = new Set<string>();
  const progress = page.locator(".progress-text").first();
  await expect
    .poll(
      async () => {
        seen.add((await progress.textContent()) ?? "");
        return page.locator("h1 + .badge").textContent();
      },
      { timeout: 280_000, intervals: [250] },
    )
    .toContain("done");
  expect(seen.size, `progress shown: ${[...seen].join(" | ")}`).toBeGreaterThan(2);
  expect(await page.evaluate(() => (window as any).marker)).toBe("same page");

  await expect(progress).toContainText("12 of 12");
  for (const variant of VARIANTS) {
    const row = page.locator(`tr[data-variant="${variant}"]`);
    await expect(row).toContainText("4 of 4");
    await expect(row).toContainText("tok/s");
    await expect(row).toContainText("n = 4");
  }
  await expect(page.getByRole("listitem").filter({ hasText: "Evaluate tiny:int4" })).toContainText("done");
});

test("the overview shows the verdicts of the newest run", async ({ page }) => {
  await open(page, "/");
  await expect(page.getByRole("heading", { name: "Latest trade-off" })).toBeVisible();
  await expect(page.locator(".verdict-card")).toHaveCount(2);
  for (const card of await page.locator(".verdict-card").all()) {
    await expect(card.locator(".badge")).toHaveText(/meets|fails|not enough data/);
    await expect(card).toContainText("at least 95 %");
  }
});
