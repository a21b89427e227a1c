// Every page: accessible in both themes, no sideways scrolling on a phone, readable without wasm,
// and a picture of each for people to look at.
import AxeBuilder from "@axe-core/playwright";
import { compressed, expect, finishedRun, open, test } from "./support";

const PAGES = ["overview", "tradeoffs", "runs", "run", "flips", "compress", "compression", "models", "glossary"] as const;
type Name = (typeof PAGES)[number];

async function address(name: Name, request: Parameters<typeof finishedRun>[0]) {
  const runId = await finishedRun(request);
  return {
    overview: "/",
    tradeoffs: `/tradeoffs?run=${runId}`,
    runs: "/runs",
    run: `/runs/${runId}`,
    flips: `/runs/${runId}/flips`,
    compress: "/compress",
    // Asked for again, it has nothing to make.
    compression: name === "compression" ? `/compress/${await compressed(request, "int4")}` : "",
    models: "/models",
    glossary: "/glossary",
  }[name];
}

/** What every page has to show before wasm arrives. */
const LANDMARK: Record<Name, string> = {
  overview: "Latest trade-off",
  tradeoffs: "tiny:int4",
  runs: "Tiny quickstart",
  run: "Evaluate tiny:int4",
  flips: "problems that both answered",
  compress: "bits per weight",
  compression: "down_proj",
  models: "bits, one scale per 64 inputs",
  glossary: "Pareto frontier",
};

for (const name of PAGES) {
  for (const colorScheme of ["light", "dark"] as const) {
    test(`${name} breaks no accessibility rule, ${colorScheme}`, async ({ page, request }) => {
      await page.emulateMedia({ colorScheme });
      await open(page, await address(name, request));
      const result = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]).analyze();
      const found = result.violations.map((v) => [v.id, v.nodes.map((node) => node.html.slice(0, 160))]);
      expect(found).toEqual([]);
      await page.screenshot({ path: `screenshots/${name}-${colorScheme}-desktop.png`, fullPage: true });
    });
  }

  test(`${name} fits a phone`, async ({ page, request }) => {
    await page.setViewportSize({ width: 360, height: 740 });
    await open(page, await address(name, request));
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
    await page.screenshot({ path: `screenshots/${name}-light-phone.png`, fullPage: true });
  });

  test(`${name} is readable without scripts`, async ({ browser, request, baseURL }) => {
    const context = await browser.newContext({ javaScriptEnabled: false, baseURL });
    const page = await context.newPage();
    await page.goto(await address(name, request));
    await expect(page.locator("main")).toContainText(LANDMARK[name]);
    await context.close();
  });
}

test("the policy of a page allows scripts by nonce only", async ({ page }) => {
  const response = await page.goto("/");
  const policy = response!.headers()["content-security-policy"];
  expect(policy).toMatch(/script-src 'nonce-[^']+' 'strict-dynamic' 'wasm-unsafe-eval';/);
  expect(policy).not.toContain("unsafe-inline");
  expect(policy).not.toContain("'unsafe-eval'");
});

test("the models page says what each preset needs in memory and whether it fits", async ({ page }) => {
  await open(page, "/models");
  const needs = page.getByRole("region", { name: "Memory that tiny needs" });
  for (const preset of ["f32", "f16", "bf16", "int8", "int4", "int4-fast", "int4-gptq", "int4-quality", "prune-2of4", "prune-half", "shrink-depth", "shrink-and-recover"]) {
    await expect(needs.getByRole("row", { name: new RegExp(`^${preset} .*B.*fits`) })).toBeVisible();
  }
  const unfetched = page.getByRole("region", { name: "Memory that smollm2-135m-instruct needs" });
  await expect(unfetched.getByRole("row", { name: /^f32 538 MB 94\.37 MB/ })).toBeVisible();
});
