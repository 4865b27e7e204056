// What the dashboard does in the browser besides htmx: the choice of colours, times in the viewer's zone, charts, and
// a word when the event stream breaks. Every page works without it.
"use strict";

(() => {
  const root = document.documentElement;

  // Storage may be forbidden; the page then follows the system.
  const storage = {
    get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* nothing is kept */ } },
  };

  // Runs before the first paint, so that a page never shows the other colours first.
  const chosen = storage.get("theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  document.addEventListener("DOMContentLoaded", () => {
    offerTheme();
    showZone();
    showTimes(document);
    setInterval(() => showTimes(document), 15_000);
    keepOpen();
    tellWhenOffline();
    drawCharts();
    showPlace();
    document.addEventListener("htmx:afterSwap", (event) => showTimes(event.detail.target ?? document));
  });

  function offerTheme() {
    const button = document.getElementById("theme");
    if (!button) return;
    const label = () => {
      const word = isDark() ? "Use light colours" : "Use dark colours";
      button.setAttribute("aria-label", word);
      button.title = word;
    };
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      storage.set("theme", root.dataset.theme);
      label();
      document.dispatchEvent(new Event("theme"));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      label();
      document.dispatchEvent(new Event("theme"));
    });
  }

  // Times

  const moment = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
  });
  const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "long" });
  const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

  function showTimes(within) {
    for (const element of within.querySelectorAll("time[data-show]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const text = { ago: distance, clock: (t) => clock.format(t), full: (t) => moment.format(t) }[element.dataset.show](at);
      if (element.textContent !== text) element.textContent = text;
      if (!element.title) element.title = exact.format(at);
    }
  }

  // Beyond four weeks the date says more than the distance.
  function distance(at) {
    const seconds = (at - Date.now()) / 1000;
    if (Math.abs(seconds) > 28 * 86_400) return day.format(at);
    const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
    return relative.format(Math.trunc(seconds / length), unit);
  }

  function showZone() {
    const place = document.getElementById("zone");
    if (place) place.textContent = `Times in ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  }

  // On a narrow screen the navigation scrolls; the entry of this page must be in sight.
  function showPlace() {
    const entry = document.querySelector(".nav [aria-current]");
    if (!entry) return;
    const nav = entry.parentElement;
    nav.scrollLeft = entry.offsetLeft - (nav.clientWidth - entry.offsetWidth) / 2;
  }

  // Live parts are replaced whole. What the viewer has opened in them stays open.
  function keepOpen() {
    const open = new Map();
    document.addEventListener("toggle", (event) => {
      if (event.target.id) open.set(event.target.id, event.target.open);
    }, true);
    document.addEventListener("htmx:afterSwap", (event) => {
      for (const details of (event.detail.target ?? document).querySelectorAll("details[id]")) {
        if (open.has(details.id)) details.open = open.get(details.id);
      }
    });
    // What was loaded into an open part is loaded anew; htmx listens to the new element only once it has settled.
    document.addEventListener("htmx:afterSettle", (event) => {
      for (const details of (event.detail.target ?? document).querySelectorAll("details[hx-get][open]")) {
        htmx.trigger(details, "toggle");
      }
    });
  }

  function tellWhenOffline() {
    const banner = document.getElementById("offline");
    if (!banner) return;
    // A page that is being left closes its stream, which the browser reports as a broken one.
    let leaving = false;
    addEventListener("pagehide", () => { leaving = true; });
    addEventListener("pageshow", () => { leaving = false; });
    const show = (broken) => {
      if (broken && leaving) return;
      banner.hidden = !broken;
      banner.textContent = broken ? banner.dataset.words : "";
    };
    document.addEventListener("htmx:sseError", () => show(true));
    document.addEventListener("htmx:sseOpen", () => show(false));
    addEventListener("offline", () => show(true));
  }

  // Charts

  const number = new Intl.NumberFormat();
  // Pages and copies are not divided.
  const WHOLE_STEPS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
  const COLOURS = ["--bar-done", "--info", "--warn", "--text-quiet", "--bad"];

  function drawCharts() {
    for (const place of document.querySelectorAll("[data-chart]")) {
      fetch(place.dataset.chart, { headers: { Accept: "application/json" } })
        .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
        .then((data) => drawChart(place, data))
        .catch(() => note(place, "The chart could not be loaded. Reload the page to try again."));
    }
  }

  // data: { times: [seconds since 1970], series: [{ label, values, failing }], stepped }
  function drawChart(place, data) {
    if (data.times.length === 0) {
      note(place, "Nothing to draw yet.");
      return;
    }
    let plot;
    const draw = () => {
      plot?.destroy();
      place.replaceChildren();
      plot = new uPlot(chartOptions(place, data), [data.times, ...data.series.map((one) => one.values)], place);
      place.dataset.drawn = String(data.times.length);
    };
    draw();
    document.addEventListener("theme", draw);
    new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: height(place) })).observe(place);
  }

  function chartOptions(place, data) {
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--text-quiet"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 },
      font: `12px ${style.getPropertyValue("--sans")}`,
    };
    const paths = data.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined;
    return {
      width: place.clientWidth,
      height: height(place),
      cursor: { points: { size: 7 } },
      // The last time on the axis is wider than what lies beside the plot by itself.
      padding: [null, 28, null, null],
      scales: {
        // A single moment has no span of its own: a day around it.
        x: { range: (_, least, most) => (most > least ? [least, most] : [least - 43_200, most + 43_200]) },
        y: { range: (_, least, most) => [Math.min(0, least), Math.max(1, most * 1.08)] },
      },
      axes: [axis, { ...axis, size: 56, incrs: WHOLE_STEPS, values: (_, ticks) => ticks.map((tick) => number.format(tick)) }],
      series: [
        { label: "Time", value: (_, at) => (at == null ? "–" : moment.format(new Date(at * 1000))) },
        ...data.series.map((one, index) => ({
          label: one.label,
          stroke: colour(one.failing ? "--bad" : COLOURS[index % COLOURS.length]),
          width: 2,
          paths,
          points: { show: data.times.length < 40, size: 6 },
          value: (_, value) => (value == null ? "–" : number.format(value)),
        })),
      ],
    };
  }

  function height(place) {
    return place.clientWidth < 480 ? 220 : 280;
  }

  function note(place, text) {
    const words = document.createElement("p");
    words.className = "chart-note";
    words.textContent = text;
    place.replaceChildren(words);
  }
})();
