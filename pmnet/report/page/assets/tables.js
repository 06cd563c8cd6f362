// Tables that sort, charts whose lines can be hidden, and the tip over their marks.

/** Return what a cell sorts by: its number, or its text. */
function keyOf(cell) {
  const own = cell?.dataset.value ?? cell?.textContent.trim() ?? "";
  const number = Number(own);
  return own !== "" && own !== "–" && !Number.isNaN(number) ? number : own;
}

function compare(one, other) {
  const numbers = typeof one === "number", others = typeof other === "number";
  if (numbers && others) return one - other;
  if (numbers !== others) return numbers ? -1 : 1; // what has no number is last
  return one.localeCompare(other, "en", {numeric: true});
}

function sortBy(heading) {
  const table = heading.closest("table"), column = heading.cellIndex;
  const direction = heading.ariaSort === "ascending" ? "descending" : "ascending";
  for (const other of table.querySelectorAll("thead th[aria-sort]")) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", direction);
  const rows = [...table.tBodies[0].rows], sign = direction === "ascending" ? 1 : -1;
  const keys = new Map(rows.map(row => [row, keyOf(row.cells[column])]));
  rows.sort((a, b) => {
    const [p, q] = [keys.get(a), keys.get(b)], last = typeof p !== typeof q;
    return last ? compare(p, q) : sign * compare(p, q);
  });
  table.tBodies[0].append(...rows);
}

function listenToTables() {
  for (const button of document.querySelectorAll("table.sortable th button"))
    button.addEventListener("click", () => sortBy(button.closest("th")));
}

function listenToCharts() {
  for (const button of document.querySelectorAll(".legend button"))
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", shown);
      const lines = button.closest("figure").querySelectorAll(`.series[data-series="${button.dataset.series}"]`);
      lines.forEach(line => line.classList.toggle("off", !shown));
    });
  const tip = document.getElementById("tip");
  document.addEventListener("pointerover", event => {
    const words = event.target.closest?.(".mark")?.querySelector("title")?.textContent;
    tip.hidden = !words;
    if (!words) return;
    tip.textContent = words;
    const wide = tip.offsetWidth + 16;
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 12, innerWidth - wide))}px`;
    tip.style.top = `${Math.max(8, event.clientY - 34)}px`;
  });
}

/** Mark the section that is read in the navigation. */
function listenToSections() {
  const links = new Map([...document.querySelectorAll("nav a")].map(a => [a.hash.slice(1), a]));
  const observer = new IntersectionObserver(entries => {
    for (const {target, isIntersecting} of entries) {
      if (!isIntersecting) continue;
      links.forEach(link => link.removeAttribute("aria-current"));
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, {rootMargin: "-20% 0px -70% 0px"});
  document.querySelectorAll("main > section").forEach(section => observer.observe(section));
}
