// Runs of other kinds: problems without tests, repairs, problems that are left out, costs, and speed in
// full. Last, as other tests look at the newest finished run.
import { expect, open, settled, startRun, test } from "./support";

let runId: number;

test.beforeAll(async ({ request }) => {
  test.setTimeout(180_000);
  runId = await startRun(request, {
    title: "Mixed",
    variants: ["tiny:f16", "tiny:int8"],
    baseline: "tiny:f16",
    suites: ["mixed"],
    decoding: { max_tokens: 4 },
  });
  await settled(request);
});

test("answers stand beside their references, repairs and what is left out", async ({ page }) => {
  await open(page, `/runs/${runId}`);
  const likeness = page.getByRole("region", { name: "Answers beside their references" });
  await expect(likeness.locator("tbody tr")).toHaveCount(2);
  await expect(likeness).toContainText("to-python");
  await expect(likeness).toContainText("n = 3");
  await page.getByText("What these numbers are made with").click();
  await expect(page.getByLabel("Signatures of the metrics")).toContainText("codebleu|nrefs:1|lang:python");
  const repairs = page.getByRole("region", { name: "Plausible, correct, regression" }).or(
    page.getByRole("region", { name: "Repairs" }),
  );
  await expect(repairs.locator("tbody tr")).toHaveCount(2);
  await expect(repairs).toContainText("a lower bound");
  await page.getByText("1 problem is left out").click();
  await expect(page.getByText("its own solution does not pass its tests: failed").first()).toBeVisible();
  await expect(page.getByText("1 answers passed all tests; 3 were compared")).toBeVisible();
  await page.locator(".answer summary").first().click();
  await expect(page.getByText("Found:").first()).toBeVisible();
});

test("costs are told by the reader's prices, and are part of the address", async ({ page }) => {
  await open(page, `/tradeoffs?run=${runId}`);
  await page.getByLabel("Price of a machine hour").fill("1.20");
  await page.getByLabel("Currency").fill("EUR");
  await page.getByRole("button", { name: "Show costs" }).click();
  await expect(page).toHaveURL(/hour=1.20/);
  const costs = page.getByRole("region", { name: "Costs" }).locator("tbody tr");
  await expect(costs).toHaveCount(2);
  await expect(page.getByText("1,000 queries (EUR)")).toBeVisible();
  await open(page, `/tradeoffs?run=${runId}&hour=cheap`);
  await expect(page.getByRole("alert")).toContainText("has to be a number of at least 0");
});

test("speed and memory of each variant stand on the page of the run", async ({ page, request }) => {
  test.setTimeout(180_000);
  const spec = { title: "Tiny, measured in full", variants: ["tiny:int8"], baseline: "tiny:int8", limit: 1 };
  const runId = await startRun(request, { ...spec, performance: "full" });
  await settled(request);
  await open(page, `/runs/${runId}`);
  const section = page.getByRole("region", { name: "Speed and memory", exact: true });
  const row = section.locator('tr[data-speed-of="tiny:int8"]');
  await expect(row).toContainText("256 + 64");
  await expect(row).toContainText("5 repeats");
  await expect(row).toContainText("n = 320");
  for (const term of ["Gaps p50", "CPU, 1,000 tokens", "Other load"]) {
    await expect(section.getByRole("button", { name: term }).first()).toBeVisible();
  }
  const matrix = section.getByRole("region", { name: "Speed of tiny:int8 by context and batch" });
  await expect(matrix.getByRole("columnheader")).toHaveText(["Context", "TTFT", "Batch 1", "Batch 4", "Batch 16"]);
  await expect(matrix.getByRole("row")).toHaveCount(3);
  await expect(section).toContainText("context 4096 left out: the model is served with at most 2048 tokens");
});
