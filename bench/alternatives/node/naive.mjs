// The rendered population report read the way that one begins with: a browser for each page, and waiting until the network is idle.
//
//   node naive.mjs --url http://127.0.0.1:8000 --out rows.jsonl --concurrency 4 --browser /usr/bin/chromium

import { chromium } from 'playwright';

import { readTable } from './inpage.mjs';
import { options, readAll } from './report.mjs';

const given = options();
await readAll(given, async ({ url }) => {
  const browser = await chromium.launch({ executablePath: given.browser, chromiumSandbox: process.getuid() !== 0 });
  try {
    const page = await browser.newPage();
    await page.goto(url, { waitUntil: 'networkidle' });
    return await page.evaluate(readTable, 10_000);
  } finally {
    await browser.close();
  }
});
