"use strict";
(() => {
  const shown = JSON.parse(document.getElementById("pointing").textContent);
  const names = Object.keys(shown.curves);
  const [width, height, left, right, top, bottom] = shown.frame;

  // --- curves: pointing and arrow keys -----------------------------------------------------------
  const share = (value, log) => log
    ? Math.log(Math.max(value, shown.lowest) / shown.lowest) / Math.log(1 / shown.lowest)
    : value;
  const toX = (value, log) => left + share(value, log) * (width - right - left);
  const toY = (value, log) => height - bottom - share(value, log) * (height - bottom - top);
  const percent = (value) => `${(100 * value).toPrecision(3)} %`;

  for (const svg of document.querySelectorAll("svg.roc")) {
    const log = svg.dataset.log === "1";
    const marker = svg.querySelector(".marker");
    const read = document.getElementById(svg.getAttribute("aria-describedby"));
    let attack = 0;
    let point = 0;

    const show = () => {
      const curve = shown.curves[names[attack]];
      const fpr = curve.fpr[point];
      const tpr = curve.tpr[point];
      marker.setAttribute("cx", toX(fpr, log));
      marker.setAttribute("cy", toY(tpr, log));
      marker.style.fill = `var(--c${shown.colours[attack]})`;
      const threshold = curve.threshold[point];
      const precise = shown.priors.map((prior) => {
        const named = prior * tpr + (1 - prior) * fpr;
        return named > 0 ? `${percent(prior * tpr / named)} at ${100 * prior} % members` : "not defined";
      });
      const band = curve.low[point] === null ? "" : ` [${percent(curve.low[point])}, ${percent(curve.high[point])}]`;
      read.textContent = `${names[attack]}: ${threshold === null ? "" : `threshold ${threshold.toPrecision(4)}, `}`
        + `FPR ${percent(fpr)}, TPR ${percent(tpr)}${band}; PPV ${precise.join(", ")}`;
    };

    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * width / box.width;
      const y = (event.clientY - box.top) * height / box.height;
      let nearest = Infinity;
      names.forEach((name, number) => {
        const curve = shown.curves[name];
        curve.fpr.forEach((fpr, index) => {
          const distance = Math.hypot(toX(fpr, log) - x, toY(curve.tpr[index], log) - y);
          if (distance < nearest) [nearest, attack, point] = [distance, number, index];
        });
      });
      show();
    });
    svg.addEventListener("focus", show);
    svg.addEventListener("keydown", (event) => {
      const last = shown.curves[names[attack]].fpr.length - 1;
      if (event.key === "ArrowRight") point = Math.min(point + 1, last);
      else if (event.key === "ArrowLeft") point = Math.max(point - 1, 0);
      else if (event.key === "Home") point = 0;
      else if (event.key === "End") point = last;
      else if (event.key === "ArrowDown") attack = (attack + 1) % names.length;
      else if (event.key === "ArrowUp") attack = (attack + names.length - 1) % names.length;
      else return;
      point = Math.min(point, shown.curves[names[attack]].fpr.length - 1);
      event.preventDefault();
      show();
    });
  }

  // --- tables: sorting ---------------------------------------------------------------------------
  const valueOf = (cell) => {
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(text.split(" [")[0]); // without its interval
    return text === "" || Number.isNaN(number) ? text.toLowerCase() : number;
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    if (typeof a === typeof b) return a < b ? -1 : Number(a > b);
    return typeof a === "number" ? -1 : 1;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      if ("fixed" in heading.dataset) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const rising = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((each) => each.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row.cells[column]), row]);
        const empty = (value) => value === "";
        rows.sort(([a], [b]) => (rising || empty(a) || empty(b) ? compare(a, b) : compare(b, a)));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  // --- records: filter and CSV -------------------------------------------------------------------
  const table = document.getElementById("exposed");
  const headings = [...table.tHead.rows[0].cells];
  const find = document.getElementById("find");
  const risk = document.getElementById("only-risk");
  const riskColumn = headings.findIndex((cell) => cell.textContent.trim() === "at risk");
  const filter = () => {
    const wanted = find.value.trim().toLowerCase();
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const found = !wanted || [...row.cells].some((cell) => cell.textContent.toLowerCase().includes(wanted));
      row.hidden = !found || (risk?.checked && row.cells[riskColumn].textContent.trim() !== "yes");
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = `${shown} shown`;
  };
  find.addEventListener("input", filter);
  risk?.addEventListener("change", filter);
  filter();

  // an apostrophe before what a spreadsheet would compute; numbers stay
  const plain = (text) => (/^[=+\-@\t\r]/.test(text) && (text === "" || Number.isNaN(Number(text))) ? `'${text}` : text);
  const quoted = (text) => {
    const safe = plain(text);
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  document.getElementById("csv").addEventListener("click", () => {
    const kept = headings.map((cell, index) => [cell, index]).filter(([cell]) => cell.textContent.trim() !== "picture");
    const lines = [kept.map(([cell]) => quoted(cell.textContent.trim())).join(",")];
    for (const row of table.tBodies[0].rows) {
      if (row.hidden) continue;
      lines.push(kept.map(([, index]) => quoted(row.cells[index].dataset.value ?? row.cells[index].textContent.trim())).join(","));
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = "exposed_records.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });

  // --- print: everything open --------------------------------------------------------------------
  window.addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details")) each.open = true;
  });
})();
