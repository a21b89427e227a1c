// The page that makes variants: presets, recipes of one's own, what is wrong with them, the heat map,
// and the recipe that spares the worst modules.
import AxeBuilder from "@axe-core/playwright";
import { test as plain, type Page } from "@playwright/test";
import { compressed, expect, hydrated, open, test } from "./support";

const forecast = (page: Page) => page.getByRole("region", { name: "What you will get" });

/** Starts what the form says and waits until it is made. */
async function start(page: Page) {
  await expect(forecast(page)).toHaveAttribute("aria-busy", "false");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page).toHaveURL(/\/compress\/\d+$/);
  await hydrated(page);
  await expect(page.locator("h1 + .badge")).toContainText("done", { timeout: 60_000 });
}

async function ownRecipe(page: Page) {
  await page.getByRole("radio", { name: "Own recipe" }).check();
  await expect(page.getByRole("group", { name: "Your recipe" })).toBeVisible();
}

test("a preset says what it will be, is made, and shows what each layer lost", async ({ page }) => {
  await open(page, "/compress?model=tiny");
  await page.getByRole("radio", { name: "int8" }).check();
  await expect(forecast(page)).toContainText("tiny:int8");
  await expect(forecast(page)).toContainText(/times smaller than in 16 bits/);
  await expect(forecast(page)).toContainText("free on the disk");
  await expect(forecast(page).locator(".badge").filter({ hasText: "fits" }).nth(1)).toBeVisible();
  await page.getByRole("radio", { name: "f16" }).first().check();
  await expect(forecast(page)).toContainText("as large as in 16 bits");
  await page.getByRole("radio", { name: "int8" }).check();
  await page.getByLabel("Name of the variant").fill("tiny-by-preset");
  await expect(forecast(page)).toContainText("tiny-by-preset");
  await start(page);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("tiny-by-preset");
  await expect(page.getByRole("grid")).toContainText("down_proj");
  await expect(page.locator("td.heat")).toHaveCount(2 * 7);
  await expect(page.getByText("Total deployed size")).toBeVisible();
  await page.reload();
  await expect(page.locator("td.heat")).toHaveCount(2 * 7);
});

test("fields show only what the method uses, and the forecast follows them", async ({ page }) => {
  await open(page, "/compress?model=tiny");
  await ownRecipe(page);
  const method = page.getByLabel("How weights are stored");
  await method.selectOption("gptq");
  await expect(page.getByLabel("Damping")).toBeVisible();
  await expect(page.getByLabel("Sequences")).toBeVisible();
  await method.selectOption("rtn");
  await expect(page.getByLabel("Damping")).toBeHidden();
  await expect(page.getByLabel("Sequences")).toBeHidden();
  await page.getByLabel("Bits", { exact: true }).selectOption("2");
  await expect(forecast(page)).toContainText("Codes of 2 and 3 bits take as much memory as 4 bits");
  await method.selectOption("f32");
  await expect(page.getByLabel("Bits", { exact: true })).toBeHidden();
  await expect(forecast(page)).toContainText("2.0 times the size in 16 bits");
});

test("a calibrated recipe of one's own is made", async ({ page }) => {
  await open(page, "/compress?model=tiny");
  await ownRecipe(page);
  await page.getByLabel("Name of the recipe").fill("careful");
  await page.getByLabel("How weights are stored").selectOption("gptq");
  await page.getByLabel("Sequences").fill("4");
  await page.getByLabel("Tokens of each").fill("64");
  await expect(forecast(page)).toContainText("4 sequences of 64 tokens");
  await start(page);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("tiny:careful");
  await page.locator("td.heat").first().click();
  await expect(page.locator(".chosen-cell")).toContainText("Error of its outputs");
});

test("what is wrong is said at its field, and nothing can be started", async ({ page }) => {
  await open(page, "/compress?model=tiny");
  await ownRecipe(page);
  await page.getByLabel("How weights are stored").selectOption("rtn");
  await page.getByLabel("Bits", { exact: true }).selectOption("8");
  const symmetric = page.getByRole("checkbox", { name: "Symmetric" });
  await expect(symmetric).toHaveAttribute("aria-invalid", "true");
  await expect(page.getByText("8-bit codes are always symmetric")).toBeVisible();
  await expect(page.getByRole("button", { name: "Start", exact: true })).toBeDisabled();
  await symmetric.check();
  await expect(symmetric).toHaveAttribute("aria-invalid", "false");
  await expect(page.getByRole("button", { name: "Start", exact: true })).toBeEnabled();
  await page.getByLabel("Overrides").fill("nowhere 8");
  await expect(page.getByText("the override `nowhere` matches no weight")).toBeVisible();
});

test("a recipe written as text is checked line by line", async ({ page }) => {
  await open(page, "/compress?model=tiny");
  await ownRecipe(page);
  await expect(forecast(page)).toHaveAttribute("aria-busy", "false");
  await page.getByRole("button", { name: "Write it as text" }).click();
  const text = page.getByRole("textbox", { name: "Recipe in TOML" });
  await expect(text).toHaveValue(/\[\[steps\]\]/);
  await text.fill('name = "typed"\n\n[[steps]]\nmethod = "cast"\nto = "f8"\n');
  await expect(page.getByText("Line 5, to:")).toBeVisible();
  await expect(text).toHaveAttribute("aria-invalid", "true");
  await text.fill('name = "typed"\n\n[[steps]]\nmethod = "cast"\nto = "bf16"\n');
  await expect(forecast(page)).toContainText("tiny:typed");
  await page.getByRole("button", { name: "Back to fields" }).click();
  await expect(page.getByLabel("How weights are stored")).toHaveValue("bf16");
  await start(page);
});

test("the keyboard walks through the heat map and each place says what it is", async ({ page, request }) => {
  await open(page, `/compress/${await compressed(request, "int4")}`);
  const grid = page.getByRole("grid");
  await grid.locator("td").first().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowRight");
  await expect(page.locator(":focus")).toHaveAttribute("id", "cell-1-1");
  await expect(page.locator(".chosen-cell")).toContainText("model.layers.1.");
  await expect(page.locator(".chosen-cell")).toContainText("Bits per weight");
  await page.keyboard.press("End");
  await expect(page.locator(":focus")).toHaveAttribute("id", "cell-1-6");
  // One stop for the whole map.
  await expect(grid.locator('td[tabindex="0"]')).toHaveCount(1);
  for (const cell of await grid.locator("td").all()) expect(await cell.textContent()).toMatch(/^[\d.<]+$/);
  await expect(page.getByRole("list", { name: /Colours and their errors/ }).getByRole("listitem")).toHaveCount(7);
});

test("one click opens a recipe that keeps the worst modules at 8 bits, ready to start", async ({ page, request }) => {
  await open(page, `/compress/${await compressed(request, "int4")}`);
  const worst = page.getByRole("region", { name: "The worst modules", exact: true }).last();
  const name = await worst.getByRole("rowheader").first().textContent();
  await page.getByRole("link", { name: /Keep the .*worst module.* at 8 bits/ }).click();
  await expect(page).toHaveURL(/\/compress\?from=\d+$/);
  await expect(page.getByRole("radio", { name: "Own recipe" })).toBeChecked();
  await expect(page.getByLabel("Overrides")).toHaveValue(new RegExp(`${name} 8`));
  await start(page);
  await expect(page.getByRole("heading", { level: 1 })).toContainText("worst8");
});

test("a model that was shrunk and taught says what went and how far it agrees with its teacher", async ({ page, request }) => {
  const calibration = { sequences: 6, sequence_length: 32 };
  const steps = [
    { method: "shrink", layers: 1, calibration },
    { method: "distil", steps: 2, batch: 1, held_out: 2, calibration },
    { method: "cast", to: "f16" },
  ];
  await open(page, `/compress/${await compressed(request, { name: "taught", steps })}`);
  const stages = page.getByRole("region", { name: "What each step did to the model" });
  await expect(stages.getByRole("heading", { level: 3 })).toHaveText(["shrink", "distil"]);
  await expect(stages).toContainText("1 of 2 layers left");
  const agreement = stages.getByRole("region", { name: "Agreement with the teacher" });
  await expect(agreement.getByRole("rowheader")).toHaveCount(4);
  await expect(agreement.getByRole("row", { name: /Perplexity/ })).toContainText("±");
  await expect(stages).toContainText("n = 62 tokens of 2 sequences");
  await stages.getByText("What was taken out: 1 part").click();
  await expect(stages.getByRole("rowheader", { name: /model\.layers\.\d/ })).toBeVisible();
  const result = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]).analyze();
  expect(result.violations.map((v) => [v.id, v.nodes.map((node) => node.html.slice(0, 160))])).toEqual([]);
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`the builder breaks no accessibility rule, ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme });
    await open(page, "/compress?model=tiny");
    await ownRecipe(page);
    await page.getByLabel("How weights are stored").selectOption("gptq");
    await page.getByLabel("Set weights to zero first").selectOption("sparsegpt");
    await expect(page.getByText("would fill the zeros again")).toBeVisible();
    const result = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]).analyze();
    const found = result.violations.map((v) => [v.id, v.nodes.map((node) => node.html.slice(0, 160))]);
    expect(found).toEqual([]);
    await page.screenshot({ path: `screenshots/builder-${colorScheme}-desktop.png`, fullPage: true });
  });
}

test("the builder fits a phone", async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await open(page, "/compress?model=tiny");
  await ownRecipe(page);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect(overflow).toBeLessThanOrEqual(0);
  await page.screenshot({ path: "screenshots/builder-light-phone.png", fullPage: true });
});

test("a preset is started without scripts", async ({ browser, baseURL }) => {
  const context = await browser.newContext({ javaScriptEnabled: false, baseURL });
  const page = await context.newPage();
  await page.goto("/compress?model=tiny");
  await page.getByRole("radio", { name: "int8" }).check();
  await page.getByLabel("Name of the variant").fill("tiny-without-scripts");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page).toHaveURL(/\/compress\/\d+$/);
  await expect(page.locator("h1")).toHaveText("tiny-without-scripts");
  await context.close();
});

// Chromium logs the status of such a page as an error, so this watches for nothing else.
plain("a compression that does not exist is said in words", async ({ page }) => {
  const response = await page.goto("/compress/999999");
  expect(response?.status()).toBe(404);
  await hydrated(page);
  await expect(page.getByRole("alert")).toContainText("999999");
});
