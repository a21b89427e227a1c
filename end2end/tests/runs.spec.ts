// Runs: list, cancel, resume, answers, and runs that do not exist.
import { test as plain } from "@playwright/test";
import { expect, finishedRun, hydrated, open, settled, startRun, test } from "./support";

test("the list filters by text and state", async ({ page }) => {
  await open(page, "/runs");
  const cards = page.locator(".run-card");
  const nRuns = await cards.count();
  expect(nRuns).toBeGreaterThan(1);
  await page.getByLabel("Filter by title, variant or suite").fill("tiny quickstart");
  await expect(cards.first()).toContainText("Tiny quickstart");
  expect(await cards.count()).toBeLessThan(nRuns);
  await page.getByLabel("Filter by title, variant or suite").fill("");
  await page.getByRole("combobox", { name: "State" }).selectOption("failed");
  await expect(cards.first()).toContainText("failed");
  await page.getByRole("combobox", { name: "State" }).selectOption("cancelled");
  await page.getByLabel("Filter by title, variant or suite").fill("no such run");
  await expect(page.getByText("No run matches")).toBeVisible();
});

test("a run is cancelled, keeps its results and can be resumed", async ({ page, request }) => {
  test.setTimeout(180_000);
  const runId = await startRun(request, { title: "To be cancelled" });
  await open(page, `/runs/${runId}`);
  await page.getByRole("button", { name: "Cancel the run" }).click();
  const badge = page.locator("h1 + .badge");
  await expect(badge).toContainText("cancelled");
  await expect(page.getByRole("button", { name: "Cancel the run" })).toBeHidden();
  await page.getByRole("button", { name: "Do what is left" }).click();
  await expect(badge).toContainText(/queued|running/);
  await page.getByRole("button", { name: "Cancel the run" }).click();
  await expect(badge).toContainText("cancelled");
  await settled(request);
});

test("an answer opens to what the model wrote and what the tests printed", async ({ page, request }) => {
  const runId = await finishedRun(request);
  await open(page, `/runs/${runId}`);
  await page.getByRole("combobox", { name: "Variant" }).selectOption("tiny:int4");
  await expect(page).toHaveURL(/answers=tiny(:|%3A)int4/);
  await expect(page.locator(".answer")).toHaveCount(4);
  await page.locator(".answer summary").first().click();
  await expect(page.getByText("What the model wrote").first()).toBeVisible();
  await expect(page.getByText("What the tests printed").first()).toBeVisible();
});

test("the manifest of a run is at hand", async ({ page, request }) => {
  await open(page, `/runs/${await finishedRun(request)}`);
  await page.getByText("Show the whole manifest").click();
  await expect(page.getByLabel("Manifest as JSON")).toContainText('"format_version": 2');
});

// Chromium logs the status of such a page as an error, so these watch for nothing else.
plain("a run that does not exist is said in words", async ({ page }) => {
  const response = await page.goto("/runs/999999");
  expect(response?.status()).toBe(404);
  await hydrated(page);
  await expect(page.getByRole("alert")).toContainText("999999");
});

plain("an address that leads nowhere says so", async ({ page }) => {
  const response = await page.goto("/no/such/page");
  expect(response?.status()).toBe(404);
  await expect(page.getByRole("heading", { name: "Page not found" })).toBeVisible();
});
