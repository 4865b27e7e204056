// Runs in the page: waits until its table is whole, turns its pager's pages, and says what each of them shows.
// Resolves to a list of what report.mjs calls shown; rejects where nothing comes within `patience` milliseconds.

export function readTable(patience) {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const text = (element) => (element ? element.textContent.trim() : '');
  const isTotals = (row) => all('td', row).slice(0, 2).some((cell) => text(cell) === 'TOTALS');

  const pagerNow = () => {
    const found = /([\d,]+)\s*-\s*([\d,]+)\s+of/.exec(text(document.querySelector('.MuiTablePagination-caption')));
    return found && { from: Number(found[1].replace(/,/g, '')), to: Number(found[2].replace(/,/g, '')) };
  };
  const rowsNow = () => all('tbody tr.MuiTableRow-root').filter((row) => !isTotals(row));
  const nextNow = () => all('button').find((button) => text(button).includes('chevron_right') && !button.disabled);
  // A list without a pager has no number to compare with: years are there when the rows stay as they are for a moment.
  const settled = 100;
  let count = -1;
  let since = 0;
  const isThere = (left) => {
    if (/404|not found/i.test(all('h1').map(text).join(' '))) return true;
    if (all('tbody td').some((cell) => text(cell) === 'No records to display')) return true;
    const pager = pagerNow();
    if (pager) return pager.from !== left && rowsNow().length === pager.to - pager.from + 1;
    const now = rowsNow().length + all('.MuiGrid-grid-lg-2').length;
    if (now !== count) {
      count = now;
      since = performance.now();
    }
    return now > 0 && performance.now() - since >= settled;
  };
  const there = (left) => new Promise((resolve, reject) => {
    const started = performance.now();
    let timer = 0;
    const observer = new MutationObserver(() => check());
    const end = (settle) => {
      observer.disconnect();
      clearTimeout(timer);
      settle();
    };
    const check = () => {
      clearTimeout(timer);
      if (isThere(left)) end(resolve);
      else if (performance.now() - started > patience) end(() => reject(new Error('nothing came')));
      else timer = setTimeout(check, 25);
    };
    observer.observe(document, { childList: true, subtree: true });
    check();
  });

  const cellOf = (cell) => ({
    text: text(cell),
    bold: text(cell.querySelector('b')),
    caption: text(cell.querySelector('.MuiTypography-caption')),
    value: cell.getAttribute('value'),
  });
  const rowOf = (row, cells) => ({ href: row.querySelector('a')?.getAttribute('href') ?? null, cells: cells.map(cellOf) });
  const shownNow = () => {
    const headers = all('thead th').map((header) => text(header).replace(/\s*(arrow_downward|arrow_upward|unfold_more)$/, ''));
    const tiles = all('.MuiGrid-item.MuiGrid-grid-lg-2').map((tile) => rowOf(tile, all('h6', tile)));
    const rows = rowsNow().map((row) => rowOf(row, all('td.MuiTableCell-root', row))).filter(({ cells }) => cells.length > 1);
    return { headers, rows: tiles.length > 0 ? tiles : rows, pager: pagerNow(), next: null };
  };

  const readFrom = async (left) => {
    await there(left);
    const shown = shownNow();
    const next = nextNow();
    if (!next) return [shown];
    next.click();
    return [shown, ...(await readFrom(shown.pager.from))];
  };
  return readFrom(null);
}
