// The rendered population report read with Crawlee's PlaywrightCrawler: https://crawlee.dev/js/docs/guides/javascript-rendering
//
//   node playwright.mjs --url http://127.0.0.1:8000 --out rows.jsonl --concurrency 4 --browser /usr/bin/chromium

import { Configuration, PlaywrightCrawler, log } from '@crawlee/playwright';

import { readTable } from './inpage.mjs';
import { RETRIES, Rows, firstPage, harvest, options } from './report.mjs';

const { url, out, concurrency, browser } = options();
const rows = new Rows(out);
let requests = 0;
let failed = 0;
log.setLevel(log.LEVELS.OFF);

const crawler = new PlaywrightCrawler({
  minConcurrency: concurrency,
  maxConcurrency: concurrency,
  maxRequestRetries: RETRIES,
  respectRobotsTxtFile: true,
  useSessionPool: false,
  persistCookiesPerSession: false,
  launchContext: { launchOptions: { executablePath: browser, headless: true, chromiumSandbox: process.getuid() !== 0 } },
  // One browser for all tabs.
  browserPoolOptions: { useFingerprints: false, maxOpenPagesPerBrowser: concurrency, retireBrowserAfterPageCount: 500 },
  preNavigationHooks: [async ({ blockRequests }, gotoOptions) => {
    requests += 1;
    gotoOptions.waitUntil = 'commit';
    await blockRequests({ urlPatterns: ['.svg', '.woff2', 'tracker.js'] });
  }],
  async requestHandler({ request, page }) {
    for (const shown of await page.evaluate(readTable, 10_000)) {
      const found = harvest({ url: request.url, ...request.userData }, shown);
      await rows.keep(found.rows);
      if (found.further.length > 0) await crawler.addRequests(found.further.map(toRequest));
    }
  },
  failedRequestHandler() {
    failed += 1;
  },
}, new Configuration({ persistStorage: false, availableMemoryRatio: 0.8 }));

function toRequest({ url: address, level, known }) {
  return { url: address, uniqueKey: address, userData: { level, known } };
}

await crawler.run([toRequest(firstPage(url))]);
await rows.end(requests, failed);
