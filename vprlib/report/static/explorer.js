// The failure explorer: a form that filters queries, and a list that holds only the visible rows.

const ROW = 52; // pixels, as in parts.css
const explorer = { answers: null, found: [], at: 0 };

const form = () => find("#explorer-filters");
const chosen = () => Object.fromEntries(new FormData(form()));

/** The queries that match the form, in its order, and the counts by who is right ("wrong right": A wrong, B right). */
function filtered(answers, wanted) {
  const [a, b] = [Number(wanted.a), Number(wanted.b)];
  const least = wanted.least === "" ? -1 : Number(wanted.least);
  const most = wanted.most === "" ? Infinity : Number(wanted.most);
  const text = wanted.text.toLowerCase();
  const errors = answers.errors[a];
  const conditions = answers.conditions
    .map(([name], number) => [answers[`condition_${name}`], wanted[`condition${number}`]])
    .filter(([, value]) => value);
  const is = (right, how) => !how || right === (how === "right");
  const [found, counts] = [[], { "wrong right": 0, "right wrong": 0, "wrong wrong": 0, "right right": 0 }];
  for (let query = 0; query < answers.queries; query++) {
    if (!answers.asked(a, query)) continue;
    if (errors[query] < least || errors[query] > most) continue;
    if (wanted.whole && answers.whole && !answers.whole[query]) continue;
    if (conditions.some(([codes, value]) => codes[query] !== Number(value))) continue;
    if (text && !answers.lower[query].includes(text)) continue;
    const [a_right, b_right] = [answers.right(a, query), answers.right(b, query)];
    counts[`${a_right ? "right" : "wrong"} ${b_right ? "right" : "wrong"}`]++;
    if (is(a_right, wanted.a_is) && is(b_right, wanted.b_is)) found.push(query);
  }
  const sign = { worst: -1, least: 1 }[wanted.order];
  const by = (x, y) => (errors[x] === errors[y] ? x - y : sign * (errors[x] - errors[y]));
  return [sign ? found.sort(by) : found, counts];
}

/** Say on the buttons for who is right how many queries each would show, and which is pressed. */
function showCounts(counts, wanted) {
  for (const button of all("[data-who]")) {
    const who = button.dataset.who.trim();
    const count = who ? counts[who] : Object.values(counts).reduce((sum, one) => sum + one);
    find("small", button).textContent = whole(count);
    button.setAttribute("aria-pressed", String(who === `${wanted.a_is} ${wanted.b_is}`.trim()));
  }
}

function applyFilters() {
  const answers = explorer.answers;
  if (!answers) return; // they are being unpacked; `openDataset` applies the filters then
  const wanted = chosen();
  const [found, counts] = filtered(answers, wanted);
  explorer.found = found;
  showCounts(counts, wanted);
  find("#explorer-said").textContent = "";
  const asked = answers[`asked${wanted.a}`].reduce((sum, one) => sum + one, 0);
  find("#explorer-count").textContent = `${whole(explorer.found.length)} of ${whole(asked)} queries`;
  const list = find("#explorer-list");
  find(".runway", list).style.height = `${explorer.found.length * ROW}px`;
  list.scrollTop = 0;
  select(0);
}

function mark(answers, letter, system, query) {
  const right = answers.right(system, query);
  const text = `${letter} ${right ? "✓" : "✗"} ${answers.metres(answers.errors[system][query])}`;
  return element("span", { class: right ? "is-right" : "is-wrong" }, text);
}

/** Put the rows that are seen into the list. */
function showRows() {
  const [list, { answers, found, at }, wanted] = [find("#explorer-list"), explorer, chosen()];
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const rows = [];
  for (let place = first; place < last; place++) {
    const query = found[place];
    const marks = element("span", { class: "marks" }, element("span", {}, `#${query}`), mark(answers, "A", wanted.a, query));
    if (wanted.a !== wanted.b) marks.append(mark(answers, "B", wanted.b, query));
    const about = { "aria-posinset": place + 1, "aria-setsize": found.length, "aria-selected": place === at };
    const row = element("div", { class: "row", role: "option", id: `row-${place}`, ...about }, marks);
    row.append(element("span", { class: "path" }, element("bdi", {}, answers.query_paths[query])));
    row.setAttribute("aria-selected", String(place === at));
    row.style.top = `${place * ROW}px`;
    row.addEventListener("click", () => select(place));
    rows.push(row);
  }
  find(".runway", list).replaceChildren(...rows);
  if (found.length) list.setAttribute("aria-activedescendant", `row-${at}`);
  else list.removeAttribute("aria-activedescendant");
}

/** Choose a query by its place in the list, bring its row into view, and show its photos. */
function select(place) {
  explorer.at = Math.max(0, Math.min(place, explorer.found.length - 1));
  const list = find("#explorer-list");
  const top = explorer.at * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  showRows();
  find("#explorer-place").textContent = explorer.found.length ? `${whole(explorer.at + 1)} of ${whole(explorer.found.length)}` : "";
  for (const button of all("[data-step]")) {
    button.disabled = !(explorer.at + Number(button.dataset.step) in explorer.found);
  }
  showDetail(explorer.answers, explorer.found[explorer.at], chosen());
}

/** Let every query pass, of the dataset, protocol and networks that are chosen. */
function clearFilters() {
  const kept = ["dataset", "protocol", "a", "b", "order"];
  for (const field of form().elements) {
    if (field.type === "checkbox") field.checked = false;
    else if (field.name && !kept.includes(field.name)) field.value = "";
  }
}

/** Choose a query by its number, with the filters as they are if it fits them; or else without, and say so. */
async function showQuery(name, query, system) {
  if (form().elements.dataset.value !== name || explorer.answers?.name !== name) {
    form().elements.dataset.value = name;
    await openDataset();
  }
  const protocol = String(explorer.answers.systems[system].protocol);
  if (form().elements.protocol.value !== protocol) {
    form().elements.protocol.value = protocol;
    openProtocol();
  }
  const { a, b } = form().elements;
  if (b.value === String(system)) b.value = a.value; // two networks stay two
  a.value = system;
  applyFilters();
  if (!explorer.found.includes(query)) {
    clearFilters();
    applyFilters();
    find("#explorer-said").textContent = `The filters hid query ${query}, which you chose on the map, so they were cleared.`;
  }
  select(explorer.found.indexOf(query));
  find("#failures .explorer").scrollIntoView();
  find("#explorer-list").focus({ preventScroll: true });
}

const KEYS = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

function onKey(event) {
  if (!(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const step = KEYS[event.key];
  select(step === Infinity ? explorer.found.length - 1 : step === -Infinity ? 0 : explorer.at + step);
}

/** Fill the form with the networks and conditions of the chosen dataset. */
async function openDataset() {
  const name = form().elements.dataset.value;
  const answers = await answersOf(name);
  if (form().elements.dataset.value !== name) return; // another one was selected meanwhile
  explorer.answers = answers;
  const answered = new Set(answers.systems.map((one) => one.protocol));
  const named = data.datasets[name].protocols.map((one, number) => [number, one.name]);
  const protocols = named.filter(([number]) => answered.has(number));
  fill(form().elements.protocol, protocols, protocols[0][0]);
  find("[data-many=protocols]").hidden = protocols.length < 2;
  find(".unit", form()).textContent = answers.unit;
  const placeless = ["places", "listed"].includes(answers.positions);
  find("#explorer-error").hidden = placeless;
  if (placeless) for (const name of ["least", "most"]) form().elements[name].value = "";
  const selects = answers.conditions.map(([title, labels], number) => {
    const options = [["", "any"], ...labels.map((label, code) => [code, label])];
    const made = element("select", { name: `condition${number}` });
    fill(made, options, "");
    return element("label", {}, title, made);
  });
  find("#explorer-conditions").replaceChildren(...selects);
  for (const note of all("[data-shown]")) note.hidden = note.dataset.shown !== name;
  openProtocol();
}

function openProtocol() {
  const number = Number(form().elements.protocol.value);
  const systems = explorer.answers.systems.map((one, system) => [system, one]).filter(([, one]) => one.protocol === number);
  const options = systems.map(([system, one]) => [system, one.label]);
  for (const part of all("[data-many=networks]")) part.hidden = systems.length < 2;
  const first = systems.filter(([, one]) => one.first).map(([system]) => system);
  const [best, second] = [...first, ...options.map(([system]) => system)];
  fill(form().elements.a, options, best);
  fill(form().elements.b, options, first.length > 1 ? first[first.length - 1] : second ?? best);
  applyFilters();
}

function startExplorer() {
  if (!form()) return;
  const applySoon = eachFrame(applyFilters);
  const [more, narrow] = [find(".more", form()), window.matchMedia("(max-width: 600px)")];
  more.open = !narrow.matches;
  narrow.addEventListener("change", () => (more.open ||= !narrow.matches)); // wide, it has nothing to open it with
  form().addEventListener("input", (event) => {
    if (event.target.name === "dataset") openDataset();
    else if (event.target.name === "protocol") openProtocol();
    else applySoon();
  });
  form().addEventListener("submit", (event) => event.preventDefault());
  for (const button of all("[data-who]")) {
    button.addEventListener("click", () => {
      const [a_is, b_is] = button.dataset.who.split(" ");
      Object.assign(form().elements.a_is, { value: a_is });
      Object.assign(form().elements.b_is, { value: b_is });
      applyFilters();
    });
  }
  for (const button of all("[data-step]")) {
    button.addEventListener("click", () => select(explorer.at + Number(button.dataset.step)));
  }
  whenSeen(find("#failures"), async () => {
    await openDataset();
    find("#explorer-list").addEventListener("scroll", eachFrame(showRows));
    find("#explorer-list").addEventListener("keydown", onKey);
  });
}
