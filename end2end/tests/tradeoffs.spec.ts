// The trade-offs page: chart, table, and what ties them together.
import { expect, finishedRun, open, test, VARIANTS } from "./support";

test.beforeEach(async ({ page, request }) => {
  await open(page, `/tradeoffs?run=${await finishedRun(request)}`);
});

test("pointing at a variant shows its numbers", async ({ page }) => {
  await page.getByRole("button", { name: /^tiny:int4 \(W4A8\)/ }).hover();
  const tip = page.locator(".chart-tip");
  await expect(tip).toContainText("tiny:int4");
  await expect(tip).toContainText("Problems solved, pass@1 (%):");
  await expect(tip).toContainText(/File size \(MB\): [\d.]+/);
  await expect(tip).toContainText("n = 4");
});

test("pressing a point marks its row, pressing it again unmarks it", async ({ page }) => {
  const point = page.getByRole("button", { name: /^tiny:int8 \(W8A16\)/ });
  const row = page.locator('tr[data-variant="tiny:int8"]');
  // Two variants that solve nothing lie close together: press the element, not the place.
  await point.dispatchEvent("click");
  await expect(row).toHaveClass(/selected/);
  await expect(point).toHaveAttribute("aria-pressed", "true");
  await expect(page.locator("#picked")).toContainText("tiny:int8");
  await point.dispatchEvent("click");
  await expect(row).not.toHaveClass(/selected/);
});

test("pressing a row marks its point", async ({ page }) => {
  await page.locator('tr[data-variant="tiny:int4"]').getByRole("button").click();
  await expect(page.locator("g.point.selected")).toHaveCount(1);
  await expect(page.getByRole("button", { name: /^tiny:int4 \(W4A8\)/ })).toHaveAttribute("aria-pressed", "true");
});

test("the keyboard reaches every point and selects it", async ({ page }) => {
  await page.getByLabel("Horizontal axis").focus();
  for (const variant of VARIANTS) {
    await page.keyboard.press("Tab");
    await expect(page.locator(":focus")).toHaveAttribute("aria-label", new RegExp(`^${variant} `));
    await expect(page.locator(".chart-tip")).toContainText(variant);
  }
  await page.keyboard.press("Enter");
  await expect(page.locator('tr[data-variant="tiny:int4"]')).toHaveClass(/selected/);
});

test("other axes move the points and change what they say", async ({ page }) => {
  const point = page.getByRole("button", { name: /^tiny:int4 \(W4A8\)/ });
  await page.getByLabel("Horizontal axis").selectOption({ label: "Decode speed (tokens/s)" });
  await expect(point).toHaveAttribute("aria-label", /Decode speed \(tokens\/s\): [\d.]+/);
  await expect(page.getByText("Better is towards the top right.")).toBeVisible();
});

test("the table filters by text", async ({ page }) => {
  const rows = page.locator("tbody tr[data-variant]");
  await expect(rows).toHaveCount(3);
  await page.getByLabel("Filter by name, scheme or verdict").fill("W8A16");
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText("int8");
  await expect(page.getByText("1 of 3 variants")).toBeVisible();
  await page.getByLabel("Filter by name, scheme or verdict").fill("no such variant");
  await expect(page.getByText("No variant matches")).toBeVisible();
});

test("the table sorts by size, both ways", async ({ page }) => {
  const names = () => page.locator("tbody tr[data-variant]").evaluateAll((rows) => rows.map((row) => row.getAttribute("data-variant")));
  await page.getByRole("button", { name: "Sort by Size" }).click();
  await expect.poll(names).toEqual(["tiny:int4", "tiny:int8", "tiny:f16"]);
  await page.getByRole("button", { name: "Sort by Size" }).click();
  await expect.poll(names).toEqual(["tiny:f16", "tiny:int8", "tiny:int4"]);
  await expect(page.locator('th[aria-sort="descending"]')).toContainText("Size");
});

test("a term explains itself, with the keyboard alone", async ({ page }) => {
  const term = page.getByRole("button", { name: "TPOT p50", exact: true });
  await term.focus();
  await page.keyboard.press("Enter");
  const card = page.locator("#term-tpot");
  await expect(card).toBeVisible();
  await expect(card).toContainText("output tokens − 1");
  await page.keyboard.press("Escape");
  await expect(card).toBeHidden();
});

test("each verdict leads to the answers that it counts", async ({ page }) => {
  const link = page.getByRole("link", { name: /See the \d+ lost and \d+ won answers/ });
  await expect(link).toHaveCount(2);
  await link.first().click();
  await expect(page).toHaveURL(/\/runs\/\d+\/flips\?variant=tiny/);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Flips");
  await expect(page.getByRole("status")).toContainText(/n = 4 problems that both answered: \d+ lost, \d+ won/);
  await expect(page.getByRole("heading", { level: 2 })).toHaveText([/^Lost/, /^Won/]);
  await page.getByLabel("Variant").selectOption("tiny:int4");
  await expect(page).toHaveURL(/variant=tiny(:|%3A)int4/);
  await expect(page.getByRole("status")).toContainText("n = 4");
});
