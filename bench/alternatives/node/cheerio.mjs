// The population report read with Crawlee's CheerioCrawler, as its documentation advises: https://crawlee.dev/js/docs/guides/scaling-crawlers
//
//   node cheerio.mjs --url http://127.0.0.1:8000 --out rows.jsonl --concurrency 32 --delay 0

import { setTimeout as wait } from 'node:timers/promises';

import { CheerioCrawler, Configuration, log } from '@crawlee/cheerio';

import { RETRIES, Rows, firstPage, harvest, options } from './report.mjs';

const { url, out, concurrency, delay } = options();
const rows = new Rows(out);
let requests = 0;
let failed = 0;
log.setLevel(log.LEVELS.OFF);

// Crawlee's own settings do not space requests here: `maxRequestsPerMinute` lets a whole minute's requests go at once, and
// `sameDomainDelaySecs` knows no domain where the site is named by an address.
let free = 0;
async function turn() {
  const now = performance.now();
  const mine = Math.max(now, free);
  free = mine + delay * 1000;
  await wait(mine - now);
}

const crawler = new CheerioCrawler({
  minConcurrency: concurrency,
  maxConcurrency: concurrency,
  maxRequestRetries: RETRIES,
  respectRobotsTxtFile: true,
  useSessionPool: false,
  additionalHttpErrorStatusCodes: [429],
  // The name that it goes by, instead of a browser's that is made up anew for each request.
  preNavigationHooks: [async (_, got) => {
    if (delay > 0) await turn();
    requests += 1;
    got.useHeaderGenerator = false;
    got.headers = { 'user-agent': 'bench-compare (+https://github.com/tagpipe/tagpipe)' };
  }],
  async requestHandler({ request, $ }) {
    const found = harvest({ url: request.url, ...request.userData }, shown($));
    await rows.keep(found.rows);
    if (found.further.length > 0) await crawler.addRequests(found.further.map(toRequest));
  },
  failedRequestHandler() {
    failed += 1;
  },
}, new Configuration({ persistStorage: false, availableMemoryRatio: 0.8 }));

function toRequest({ url: address, level, known }) {
  return { url: address, uniqueKey: address, userData: { level, known } };
}

function shown($) {
  const text = (element) => $(element).text().trim();
  const headers = $('thead th').toArray().map((header) => text(header).replace(/\s*(arrow_downward|arrow_upward|unfold_more)$/, ''));
  const cellOf = (cell) => ({
    text: text(cell),
    bold: text($(cell).find('b')),
    caption: text($(cell).find('.MuiTypography-caption')),
    value: $(cell).attr('value') ?? null,
  });
  const rowOf = (row, cells) => ({ href: $(row).find('a').attr('href') ?? null, cells: cells.map(cellOf) });
  const tiles = $('.MuiGrid-item.MuiGrid-grid-lg-2').toArray().map((tile) => rowOf(tile, $(tile).find('h6').toArray()));
  const rows = $('tbody tr.MuiTableRow-root').toArray()
    .map((row) => rowOf(row, $(row).find('td.MuiTableCell-root').toArray()))
    .filter(({ cells }) => cells.length > 1 && !cells.slice(0, 2).some((cell) => cell.text === 'TOTALS'));
  const found = /([\d,]+)\s*-\s*([\d,]+)\s+of/.exec($('.MuiTablePagination-caption').text());
  const [from, to] = found ? [found[1], found[2]].map((digits) => Number(digits.replace(/,/g, ''))) : [];
  const next = $('a').toArray().find((link) => text(link).includes('chevron_right'));
  return { headers, rows: tiles.length > 0 ? tiles : rows, pager: found && { from, to }, next: next ? $(next).attr('href') : null };
}

await crawler.run([toRequest(firstPage(url))]);
await rows.end(requests, failed);
