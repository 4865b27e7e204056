"""The population report read with Scrapy, as its documentation advises: one spider, one callback for each level.

    python report.py --url http://127.0.0.1:8000 --out rows.jsonl --concurrency 32 --delay 0

Settings follow https://docs.scrapy.org/en/latest/topics/broad-crawls.html where they suit one site. Robots.txt is
obeyed, refusals and broken answers are repeated by the retry middleware, and so are the not-found screen and a table
with fewer rows than its pager says, by `get_retry_request`.
"""

import argparse
import json
import re
from collections.abc import Iterator
from typing import Any

import scrapy
from parsel import Selector
from scrapy.crawler import CrawlerProcess
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.http import Response

PAGER = re.compile(r"([\d,]+)\s*-\s*([\d,]+)\s+of\s+([\d,]+)")
GRADE = re.compile(r"^(?:(\d+(?:\.\d)?)(?: ([^(]+?))?|VA)(?: \((\d+)\))?$")
ICONS = re.compile(r"\s*(?:arrow_downward|arrow_upward|unfold_more)\s*$")
# The further reads of a page that failed.
RETRIES = 3


class Report(scrapy.Spider):
    name = "report"

    def __init__(self, url: str, out: str) -> None:
        super().__init__()
        self.site = url
        self.out = open(out, "w", encoding="utf-8")

    async def start(self) -> Any:
        yield self.page(f"{self.site}/pop-report", self.categories, {})

    def page(self, url: str, callback: Any, known: dict[str, Any]) -> scrapy.Request:
        # What was found deeper comes first, so that the queue stays short.
        return scrapy.Request(url, callback, cb_kwargs={"known": known}, priority=DEPTHS[callback.__name__])

    def categories(self, response: Response, known: dict[str, Any]) -> Iterator[scrapy.Request]:
        tiles = response.css(".MuiGrid-item.MuiGrid-grid-lg-2")
        if not tiles:
            yield from self.again(response, "no tiles")
            return
        for tile in tiles:
            name = tile.css("h6::text").get("").strip()
            self.keep("categories", {"name": name})
            href = tile.css("a::attr(href)").get() or f"/pop-report/{name}"
            yield self.page(response.urljoin(href), self.years, {"category": name})

    def years(self, response: Response, known: dict[str, Any]) -> Iterator[scrapy.Request]:
        for row, cells in (yield from self.rows(response)):
            year = text_of(cells["Year"])
            counts = {
                "sets_count": number(text_of(cells["Sets"])),
                "items_count": number(text_of(cells["Items"])),
                "graded_count": number(text_of(cells["Graded"])),
            }
            self.keep("years", {**known, "year": year, **counts})
            yield self.page(link(response, row), self.sets, {**known, "year": year})

    def sets(self, response: Response, known: dict[str, Any]) -> Iterator[scrapy.Request]:
        for row, cells in (yield from self.rows(response)):
            brand = cells["Grade"].xpath("string(.//b)").get("").strip()
            name = "".join(cells["Grade"].xpath(".//b/following-sibling::text()").getall()).strip()
            self.keep("sets", {**known, "brand": brand, "name": name, **counts_of(cells)})
            yield self.page(link(response, row), self.cards, {**known, "brand": brand, "set": name})

    def cards(self, response: Response, known: dict[str, Any]) -> Iterator[scrapy.Request]:
        for row, cells in (yield from self.rows(response)):
            card = {
                **known,
                "number": text_of(cells["Card #"]),
                "name": cells["Name"].xpath("string(.//a)").get("").strip(),
                "variation": cells["Name"].css(".MuiTypography-caption").xpath("string()").get("").strip(),
            }
            self.keep("cards", {**card, **counts_of(cells)})
            yield self.page(link(response, row), self.grade_rows, card)

    def grade_rows(self, response: Response, known: dict[str, Any]) -> Iterator[scrapy.Request]:
        for _, cells in (yield from self.rows(response)):
            grade_text = text_of(cells["TAG Grade"])
            grade, label, score = GRADE.match(grade_text).groups()
            self.keep(
                "grade_rows",
                {
                    **known,
                    "cert_number": text_of(cells["Cert Number"]),
                    "rank": place(cells["Rank"]),
                    "grade_text": grade_text,
                    "grade": float(grade) if grade else None,
                    "grade_label": label,
                    "score": int(score) if score else None,
                    "rank_by_grade": place(cells["Rank by Grade"]),
                    "chronology": place(cells["Chronology"]),
                    "chron_by_grade": place(cells["Chron by Grade"]),
                    "completed_on": day(cells["Completed"]),
                    "report_url": cells["View Report"].css("a::attr(href)").get(),
                },
            )

    def rows(self, response: Response) -> Any:
        """The rows of the table with their cells by header; the next page and another try are asked for on the way."""
        headers = [ICONS.sub("", text_of(header)) for header in response.css("thead th")]
        rows = []
        for row in response.css("tbody tr.MuiTableRow-root"):
            cells = row.css("td.MuiTableCell-root")
            if len(cells) == len(headers) and "TOTALS" not in (text_of(cells[0]), text_of(cells[1])):
                rows.append((row, dict(zip(headers, cells, strict=True))))
        pager = PAGER.search(response.css(".MuiTablePagination-caption").xpath("string()").get(""))
        first, last = (number(pager[1]), number(pager[2])) if pager else (1, len(rows))
        if not headers or len(rows) != last - first + 1:
            yield from self.again(response, "not all rows")
            return []
        following = response.xpath('//a[contains(., "chevron_right")]/@href').get()
        if following:
            yield response.follow(
                following, response.request.callback, cb_kwargs=response.cb_kwargs, priority=response.request.priority
            )
        return rows

    def again(self, response: Response, reason: str) -> Iterator[scrapy.Request]:
        request = get_retry_request(response.request, spider=self, reason=reason, max_retry_times=RETRIES)
        if request:
            yield request

    def keep(self, table: str, row: dict[str, Any]) -> None:
        self.out.write(json.dumps({"table": table, **row}, ensure_ascii=False) + "\n")

    def closed(self, reason: str) -> None:
        stats = self.crawler.stats
        end = {
            "table": "end",
            "requests": stats.get_value("downloader/request_count", 0),
            "failed": stats.get_value("retry/max_reached", 0) + stats.get_value("spider_exceptions/count", 0),
        }
        self.out.write(json.dumps(end) + "\n")
        self.out.close()


DEPTHS = {name: depth for depth, name in enumerate(["categories", "years", "sets", "cards", "grade_rows"])}


def text_of(element: Selector) -> str:
    return element.xpath("string()").get("").strip()


def link(response: Response, row: Selector) -> str:
    return response.urljoin(row.css("a::attr(href)").get(""))


def number(text: str) -> int:
    digits = re.sub(r"\D", "", text)
    return int(digits) if digits else 0


def place(cell: Selector) -> int | None:
    return number(cell.attrib.get("value") or text_of(cell)) or None


def day(cell: Selector) -> str | None:
    time = cell.attrib.get("value")
    if time:
        return time[:10] if len(time) >= 10 else None
    parts = text_of(cell).split("-")
    return f"{parts[2]}-{parts[0]}-{parts[1]}" if len(parts) == 3 else None


def counts_of(cells: dict[str, Selector]) -> dict[str, Any]:
    counts = {header: number(text_of(cell)) for header, cell in cells.items() if header not in ("Grade", "Card #", "Name")}
    total = counts.pop("Total")
    return {"counts": {grade: count for grade, count in counts.items() if count}, "total": total}


def settings(concurrency: int, delay: float) -> dict[str, Any]:
    return {
        "USER_AGENT": "bench-compare (+https://github.com/tagpipe/tagpipe)",
        "ROBOTSTXT_OBEY": True,
        "CONCURRENT_REQUESTS": concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
        "DOWNLOAD_DELAY": delay,
        "RANDOMIZE_DOWNLOAD_DELAY": False,
        "RETRY_TIMES": RETRIES,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "ERROR",
        "TWISTED_REACTOR": "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    process = CrawlerProcess(settings(options.concurrency, options.delay))
    process.crawl(Report, url=options.url, out=options.out)
    process.start()


if __name__ == "__main__":
    main()
