// Runs in the page, in a world of its own. Resolves as soon as the page's content is there, with its markup, or
// with what came instead. `rules` are the site profile's, `task` says how long, how much and whether to press "next".
//
// States: "content", "timeout" (nothing to show), "no_next" (nothing to press), "too_large".
(rules, task) => new Promise((resolve) => {
  const started = performance.now();
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const text = (element) => element.textContent.trim();
  const holds = (element, part) => element.textContent.toLowerCase().includes(part.toLowerCase());
  const shows = (screens) => screens.some(({ select, contains }) => all(select).some((element) =>
    contains.length === 0 || contains.some((part) => holds(element, part))));

  const isTotals = (row) => rules.totals !== null && rules.cell !== null
    && Array.from(row.querySelectorAll(rules.cell)).slice(0, 2)
      .some((cell) => text(cell).toLowerCase() === rules.totals.toLowerCase());
  const rowsNow = () => all(rules.row).filter((row) => !isTotals(row));

  const pattern = rules.pager && new RegExp(rules.pager.pattern);
  const number = (digits) => Number(digits.replace(/[^0-9]/g, ""));
  // What the pager says: its text and how many rows it promises on this page (0: nothing).
  const pagerNow = () => {
    for (const element of rules.pager ? all(rules.pager.text) : []) {
      const match = pattern.exec(element.textContent);
      if (match) {
        const { from, to, of } = match.groups;
        const promised = number(of) === 0 ? 0 : number(to) - number(from) + 1;
        return { text: match[0], promised };
      }
    }
    return { text: "", promised: 0 };
  };
  const nextNow = () => all(rules.pager ? rules.pager.next : "").find((element) =>
    holds(element, rules.pager.next_contains) && !element.disabled
    && element.getAttribute("aria-disabled") !== "true");

  // The page that was shown when "next" was pressed; `null` before that, and where nothing is to be pressed.
  let left = null;
  let pressing = task.press;
  const press = () => {
    const button = nextNow();
    if (!button) return;
    left = { pager: pagerNow().text, rows: rowsNow().map((row) => row.textContent) };
    pressing = false;
    button.click();
  };

  // What is there: `null` for nothing yet; `sure` when nothing more can come.
  const look = () => {
    const rows = rowsNow();
    if (rows.length > 0 && !shows(rules.empty)) {
      const pager = pagerNow();
      if (left && pager.text === left.pager) return null;
      const fresh = !left || !rows.some((row, at) => row.textContent === left.rows[at]);
      if (rows.length < pager.promised) return null;
      return { name: `${rows.length} ${fresh} ${pager.text}`, sure: fresh && rows.length === pager.promised };
    }
    if (rows.length > 0 || shows(rules.empty)) return { name: "empty", sure: false };
    if (shows(rules.blocked)) return { name: "blocked", sure: false };
    if (shows(rules.not_found)) return { name: "not_found", sure: false };
    return null;
  };

  let settling = null;
  let timer = 0;
  let looked = -Infinity;
  const later = (wait) => {
    clearTimeout(timer);
    timer = setTimeout(check, Math.max(wait, 1));
  };
  const finish = (state) => {
    clearTimeout(timer);
    observer.disconnect();
    document.removeEventListener("readystatechange", check);
    if (state !== "content") return resolve({ state });
    const html = document.documentElement.outerHTML;
    resolve(html.length > task.most ? { state: "too_large" } : { state, html });
  };
  // What is not sure is believed once it stays as it is for `task.settle` in a document that has arrived.
  const check = () => {
    const now = performance.now();
    looked = now;
    if (now - started >= task.timeout) {
      if (pressing) return finish("no_next");
      return finish(rowsNow().length > 0 && !left ? "content" : "timeout");
    }
    if (pressing) press();
    const seen = pressing ? null : look();
    if (seen && seen.sure) return finish("content");
    if (!seen || document.readyState === "loading") {
      settling = null;
      return later(started + task.timeout - now);
    }
    if (!settling || settling.name !== seen.name) settling = { name: seen.name, since: now };
    const rest = settling.since + task.settle - now;
    if (rest <= 0) return finish("content");
    later(Math.min(rest, started + task.timeout - now));
  };
  // A page that changes without end is looked at every few milliseconds, not at every change.
  const changed = () => {
    if (performance.now() - looked >= 8) check();
    else later(8);
  };
  const observer = new MutationObserver(changed);
  observer.observe(document, {
    childList: true, subtree: true, characterData: true, attributeFilter: ["disabled", "aria-disabled"],
  });
  document.addEventListener("readystatechange", check);
  check();
})
