import { chromium } from "@playwright/test";
const [,, base, out, ...paths] = process.argv;
const b = await chromium.launch({executablePath:'/usr/bin/chromium', args:['--no-sandbox','--disable-gpu']});
for (const [name, width, height] of [["desk",1280,900],["phone",360,800]]) {
  const p = await b.newPage({ viewport: { width, height } });
  for (const path of paths) {
    await p.goto(base + path); await p.waitForTimeout(2500);
    const w = await p.evaluate(() => document.documentElement.scrollWidth);
    const file = `${out}/${path.replace(/\W+/g,"_")}-${name}.png`;
    await p.screenshot({ path: file, fullPage: true });
    console.log(file, w);
  }
}
await b.close();
