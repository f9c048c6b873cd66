// Tables that can be sorted by a column and filtered by a form.

function cellValue(row, column, kind) {
  const cell = row.cells[column];
  const value = cell.dataset.value ?? cell.textContent.trim();
  if (kind === "text") return value;
  return value === "" || value === "–" ? null : Number(value.replace(/[,<%]/g, ""));
}

/** Rows without a value come last, whichever the order. */
function sortBy(table, header, column) {
  const kind = header.dataset.sort;
  const before = header.getAttribute("aria-sort");
  const first = kind === "number" ? "descending" : "ascending";
  const other = { ascending: "descending", descending: "ascending" };
  const order = before ? other[before] : first;
  for (const one of all("th[aria-sort]", table)) one.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const collator = new Intl.Collator("en", { numeric: true });
  const rows = [...table.tBodies[0].rows].map((row) => [cellValue(row, column, kind), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (kind === "text" ? collator.compare(a, b) : a - b);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of all("table[data-sortable]")) {
  all("thead th", table).forEach((header, column) => {
    if (!header.dataset.sort) return;
    const text = header.textContent;
    const button = element("button", { type: "button" }, text);
    button.addEventListener("click", () => sortBy(table, header, column));
    // a head that is repeated on a second printed page has text only
    header.replaceChildren(button, element("span", { class: "printed" }, text));
  });
}

/** The words of some text, of letters and digits: `tiny_sfrs, 256-D` has four. */
const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

/** A test of elements: whether each word that is typed begins one of the words below `selector`. */
function finder(elements, selector) {
  const texts = (one) => all(selector, one).flatMap((part) => [...part.childNodes].map((node) => node.textContent));
  const known = new Map(elements.map((one) => [one, wordsOf(texts(one).join(" "))]));
  return (typed) => {
    const wanted = wordsOf(typed);
    return (one) => wanted.every((word) => known.get(one).some((other) => other.startsWith(word)));
  };
}

for (const form of all("form[data-filters]")) {
  const rows = [...find(`#${form.getAttribute("data-filters")}`).tBodies[0].rows];
  const search = finder(rows, "th, td:not(.num, .source), td.source small"); // recalls and links are no names
  const apply = () => {
    const { text, ...exact } = Object.fromEntries(new FormData(form));
    const found = search(text);
    let shown = 0;
    for (const row of rows) {
      const fits = Object.entries(exact).every(([name, value]) => !value || row.dataset[name] === value);
      row.hidden = !(fits && found(row));
      shown += !row.hidden;
    }
    find("output", form).textContent = `${whole(shown)} of ${whole(rows.length)} rows`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

const origins = all("details.origin");
const searchOrigins = finder(origins, ":scope > summary, :scope > .command, td, tbody th, :scope > .note");
find("#find-source")?.addEventListener("input", (event) => {
  const found = searchOrigins(event.target.value);
  for (const one of origins) one.hidden = !found(one);
  for (const title of all("#provenance h3")) title.hidden = !origins.some((one) => !one.hidden && one.dataset.of === title.textContent);
  find("#found-sources").textContent = `${whole(origins.filter((one) => !one.hidden).length)} of ${whole(origins.length)} evaluations`;
});
