// What the population report's pages mean: from what a page shows to rows, and to the pages below.
//
// A page is shown as { headers, rows: [{ href, cells: [{ text, bold, caption, value }] }], pager, next }; tiles are rows of one
// cell. How it came about, whether Cheerio or a browser read it, makes no difference here.

import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { parseArgs } from 'node:util';

export const LEVELS = ['categories', 'years', 'sets', 'cards', 'grade_rows'];
// The further reads of a page that failed.
export const RETRIES = 3;

export function options() {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      out: { type: 'string' },
      concurrency: { type: 'string', default: '16' },
      delay: { type: 'string', default: '0' },
      browser: { type: 'string' },
    },
  });
  return { ...values, concurrency: Number(values.concurrency), delay: Number(values.delay) };
}

export function firstPage(site) {
  return { url: `${site}/pop-report`, level: 0, known: {} };
}

// Throws where a page does not show all that it says it has.
export function harvest({ url, level, known }, shown) {
  const promised = shown.pager ? shown.pager.to - shown.pager.from + 1 : shown.rows.length;
  if ((level > 0 && shown.headers.length === 0) || (level === 0 && shown.rows.length === 0) || shown.rows.length !== promised) {
    throw new Error(`not all rows: ${url}`);
  }
  const found = shown.rows.map((row) => {
    const cells = Object.fromEntries(shown.headers.map((header, at) => [header, row.cells[at]]));
    const { own, below } = FIELDS[level](cells, row);
    const next = { url: new URL(row.href ?? `/pop-report/${own.name}`, url).href, level: level + 1, known: { ...known, ...below } };
    return { row: { table: LEVELS[level], ...known, ...own }, next };
  });
  const further = level < 4 ? found.map(({ next }) => next) : [];
  if (shown.next) further.push({ url: new URL(shown.next, url).href, level, known });
  return { rows: found.map(({ row }) => row), further };
}

const FIELDS = [
  (_, { cells: [tile] }) => ({ own: { name: tile.text }, below: { category: tile.text } }),
  (cells) => {
    const year = cells.Year.text;
    const counts = { sets_count: number(cells.Sets), items_count: number(cells.Items), graded_count: number(cells.Graded) };
    return { own: { year, ...counts }, below: { year } };
  },
  (cells) => {
    const brand = cells.Grade.bold;
    const name = cells.Grade.text.slice(brand.length).trim();
    return { own: { brand, name, ...counts(cells) }, below: { brand, set: name } };
  },
  (cells) => {
    const { text, caption } = cells.Name;
    const card = { number: cells['Card #'].text, name: text.slice(0, text.length - caption.length).trim(), variation: caption };
    return { own: { ...card, ...counts(cells) }, below: card };
  },
  (cells, { href }) => {
    const grade_text = cells['TAG Grade'].text;
    const [, grade, grade_label, score] = GRADE.exec(grade_text);
    return {
      own: {
        cert_number: cells['Cert Number'].text,
        rank: place(cells.Rank),
        grade_text,
        grade: grade ? Number(grade) : null,
        grade_label: grade_label ?? null,
        score: score ? Number(score) : null,
        rank_by_grade: place(cells['Rank by Grade']),
        chronology: place(cells.Chronology),
        chron_by_grade: place(cells['Chron by Grade']),
        completed_on: day(cells.Completed),
        report_url: href,
      },
    };
  },
];

const GRADE = /^(?:(\d+(?:\.\d)?)(?: ([^(]+?))?|VA)(?: \((\d+)\))?$/;

function number({ text }) {
  return Number(text.replace(/\D/g, '')) || 0;
}

function place({ text, value }) {
  return number({ text: value ?? text }) || null;
}

function day({ text, value }) {
  if (value !== null) return value.length >= 10 ? value.slice(0, 10) : null;
  const [month, day, year] = text.split('-');
  return year ? `${year}-${month}-${day}` : null;
}

function counts(cells) {
  const columns = Object.entries(cells).filter(([header]) => !['Grade', 'Card #', 'Name', 'Total'].includes(header));
  const given = columns.map(([grade, cell]) => [grade, number(cell)]).filter(([, count]) => count > 0);
  return { counts: Object.fromEntries(given), total: number(cells.Total) };
}

// Lines of JSON, with one last line about the reading itself.
export class Rows {
  constructor(file) {
    this.file = createWriteStream(file, { highWaterMark: 1 << 20 });
  }

  async keep(rows) {
    if (!this.file.write(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))) await once(this.file, 'drain');
  }

  async end(requests, failed) {
    this.file.end(`${JSON.stringify({ table: 'end', requests, failed })}\n`);
    await once(this.file, 'finish');
  }
}

// Reads pages, `concurrency` at a time, newest first, until there are no more; a page that fails is counted.
export async function readAll({ url, out, concurrency }, read) {
  const rows = new Rows(out);
  const waiting = [firstPage(url)];
  let requests = 0;
  let failed = 0;
  let busy = 0;
  await new Promise((resolve, reject) => {
    const more = () => {
      while (waiting.length > 0 && busy < concurrency) {
        const page = waiting.pop();
        requests += 1;
        busy += 1;
        step(page).then(more, reject);
      }
      if (busy === 0 && waiting.length === 0) resolve();
    };
    const step = async (page) => {
      try {
        for (const shown of await read(page)) {
          const found = harvest(page, shown);
          waiting.push(...found.further);
          await rows.keep(found.rows);
        }
      } catch (error) {
        console.error(String(error));
        failed += 1;
      }
      busy -= 1;
    };
    more();
  });
  await rows.end(requests, failed);
}
