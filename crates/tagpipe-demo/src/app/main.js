/* The demo site's app: fetches a page's content, paints it in two goes, and polls for ever. */
(function () {
  "use strict";
  var root = document.getElementById("root");
  var settings = { poll_ms: 1000 };
  var turn = 0;

  function ask(page) {
    var here = location.pathname + location.search;
    var wanted = "/_app/page?page=" + page + "&path=" + encodeURIComponent(here);
    return fetch(wanted, { headers: { accept: "application/json" } }).then(function (answer) {
      if (!answer.ok) throw new Error("status " + answer.status);
      return answer.json();
    });
  }

  function paintFrame() {
    root.innerHTML =
      '<header class="MuiPaper-root MuiAppBar-root MuiAppBar-positionStatic MuiAppBar-colorPrimary jss11">' +
      '<div class="MuiToolbar-root MuiToolbar-regular jss12">' +
      '<a class="MuiTypography-root MuiLink-root jss13 MuiTypography-h6" href="/pop-report">Population Report</a></div></header>' +
      '<main class="MuiContainer-root jss20 MuiContainer-maxWidthLg"><div class="MuiPaper-root jss201 MuiPaper-rounded">' +
      '<table class="MuiTable-root jss203"><thead class="MuiTableHead-root"></thead>' +
      '<tbody class="MuiTableBody-root"></tbody></table></div></main>';
  }

  function paint(content, rows) {
    root.innerHTML = content.top + rows.join("") + content.bottom;
  }

  function show(content) {
    var mine = ++turn;
    var first = Math.ceil(content.rows.length / 2);
    document.title = content.title;
    paint(content, content.rows.slice(0, first));
    if (first < content.rows.length) {
      setTimeout(function () {
        if (mine === turn) paint(content, content.rows);
      }, content.repaint_ms);
    }
  }

  function load(page) {
    return ask(page).then(function (content) {
      settings.poll_ms = content.poll_ms;
      show(content);
    }).catch(function (problem) {
      console.error(problem);
    });
  }

  root.addEventListener("click", function (event) {
    var button = event.target.closest("button[data-page]");
    if (button && !button.disabled) load(Number(button.getAttribute("data-page")));
  });

  function poll(count) {
    fetch("/_app/poll?n=" + count).catch(function () {}).then(function () {
      setTimeout(function () { poll(count + 1); }, settings.poll_ms);
    });
  }

  paintFrame();
  load(Number(new URLSearchParams(location.search).get("page")) || 1);
  poll(0);
})();
