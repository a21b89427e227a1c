// Problems without tests, repairs, problems that are left out, and costs. Last, as other tests look at
// the newest finished run.
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
