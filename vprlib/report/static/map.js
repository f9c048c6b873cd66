// The map of a dataset's queries, by the distance of a network's first candidate. Axes are UTM; no tiles are needed.

const LINES_AT_FIRST = 200; // with more wrong queries, their lines are drawn only on request
const mapped = { answers: null, lines: null, view: null }; // lines: whether they were requested, null until then; view: zoomed ranges
const mapForm = () => find("#map-filters");

/** Queries by how wrong their first answer is: right, near, far. */
function classes(answers, system) {
  const radius = answers.radii[answers.systems[system].protocol];
  const near = 10 * radius;
  const kinds = [
    { name: "right", symbol: "circle", colour: "--right", queries: [] },
    { name: `wrong, up to ${whole(near)} ${answers.unit} off`, symbol: "triangle-up", colour: "--accent", queries: [] },
    { name: "wrong, farther off", symbol: "x", colour: "--wrong", queries: [] },
  ];
  for (let query = 0; query < answers.queries; query++) {
    if (!answers.asked(system, query)) continue;
    kinds[answers.right(system, query) ? 0 : answers.errors[system][query] <= near ? 1 : 2].queries.push(query);
  }
  return kinds;
}

/** A line from each wrong query to what it got, as one trace. */
function errorLines(answers, system, kinds) {
  const [x, y] = [[], []];
  for (const query of [...kinds[1].queries, ...kinds[2].queries]) {
    const photo = answers.answer(system, query, 0);
    if (photo < 0) continue;
    const [from, to] = [answers.position("query", query), answers.position("database", photo)];
    x.push(from[0], to[0], null);
    y.push(from[1], to[1], null);
  }
  const look = { mode: "lines", line: { color: style("--muted"), width: 0.7 }, opacity: 0.45, hoverinfo: "skip" };
  return { type: "scatter", name: "to the first candidate", x, y, ...look };
}

/** Where the database photos are, small and faint. */
function sceneTrace(answers) {
  const [places, of] = [answers.scene_xy.length / 2, answers.scene_of];
  const count = places < of ? `${whole(places)} of ${whole(of)} positions, at random` : `${whole(of)} position${of > 1 ? "s" : ""}`;
  const [x, y] = [new Array(places), new Array(places)];
  for (let place = 0; place < places; place++) [x[place], y[place]] = answers.position("scene", place);
  const marker = { symbol: "square", size: places > 500 ? 4 : 10, color: style("--muted"), opacity: 0.3 };
  return { type: "scatter", mode: "markers", name: `database (${count})`, x, y, marker, hoverinfo: "skip" };
}

/** Draw the map; one that is saved has its title, the dataset and the network, in it. */
async function drawMap(saved = false) {
  const answers = mapped.answers;
  if (!answers) return; // they are being unpacked; `openMap` draws then
  const system = Number(mapForm().elements.system.value);
  const kinds = classes(answers, system);
  const wrong = kinds[1].queries.length + kinds[2].queries.length;
  mapForm().elements.lines.checked = mapped.lines ?? wrong <= LINES_AT_FIRST;
  find("#map-lines").textContent = whole(wrong);
  const traced = [sceneTrace(answers)];
  if (mapForm().elements.lines.checked) traced.push(errorLines(answers, system, kinds));
  for (const kind of kinds) {
    const positions = kind.queries.map((query) => answers.position("query", query));
    traced.push({
      type: "scatter",
      mode: "markers",
      name: `${kind.name} (${whole(kind.queries.length)})`,
      x: positions.map(([east]) => east),
      y: positions.map(([, north]) => north),
      customdata: kind.queries,
      text: kind.queries.map((query) => `query ${query}: ${answers.metres(answers.errors[system][query])} off`),
      hovertemplate: "%{text}<extra></extra>",
      marker: { size: answers.queries > 2000 ? 4 : 7, symbol: kind.symbol, color: style(kind.colour), opacity: 0.8 },
    });
  }
  const axis = { tickformat: ",.0f", nticks: 6 };
  const view = mapped.view?.of === answers.name ? mapped.view : {};
  const look = layout({
    xaxis: { ...axis, range: view.x, title: { text: `east, m (${answers.utm})` } },
    yaxis: { ...axis, range: view.y, title: { text: `north, m (${answers.utm})`, standoff: 6 }, scaleanchor: "x" },
    dragmode: "pan",
    hovermode: "closest",
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemsizing: "constant" }, // marks of many queries are small
    margin: { l: 76, r: 14, t: 56, b: 48 },
    uirevision: answers.name,
    ...(saved ? titled([answers.name, systemName(answers.name, answers.systems[system])], 76) : {}),
  });
  const plot = find("#map-figure .plot");
  const made = await plotly();
  await made.react(plot, traced, look, options(made));
  plot.removeAllListeners("plotly_click");
  plot.on("plotly_click", ({ points }) => {
    if (points[0].customdata !== undefined) showQuery(answers.name, points[0].customdata, system);
  });
  Object.assign(find("#map-figure").dataset, { drawn: answers.name, dataset: answers.name });
}

/** Zoom by a factor about a point, given as shares of the axes; all: back to all queries. */
async function zoomMap(factor, [right, up] = [0.5, 0.5]) {
  const plot = find("#map-figure .plot");
  const made = await plotly();
  mapped.view = null; // what the map is drawn with again
  if (factor === "all") return made.relayout(plot, { "xaxis.autorange": true, "yaxis.autorange": true });
  const about = ([low, high], share) => [low, high].map((end) => low + share * (high - low) + (end - low - share * (high - low)) * factor);
  const { xaxis, yaxis } = plot._fullLayout;
  const [x, y] = [about(xaxis.range, right), about(yaxis.range, up)];
  mapped.view = { of: mapped.answers.name, x, y };
  return made.relayout(plot, { "xaxis.range": x, "yaxis.range": y });
}

function onWheel(event) {
  if (!event.ctrlKey) return;
  event.preventDefault();
  const area = find("#map-figure .nsewdrag")?.getBoundingClientRect();
  if (!area) return;
  const at = [(event.clientX - area.left) / area.width, 1 - (event.clientY - area.top) / area.height];
  zoomMap(event.deltaY < 0 ? 0.8 : 1.25, at);
}

async function openMap() {
  const name = mapForm().elements.dataset.value;
  const flat = data.datasets[name].positions === "map";
  find("#map-gap").hidden = flat;
  find("#map-figure").hidden = !flat;
  for (const button of all("[data-zoom]")) button.hidden = !flat;
  const answers = await answersOf(name);
  if (mapForm().elements.dataset.value !== name) return; // another one was chosen meanwhile
  mapped.answers = answers;
  fill(mapForm().elements.system, mapped.answers.systems.map((one, system) => [system, systemName(name, one)]), 0);
  if (flat) drawMap();
}

/** A network's name, with its protocol where the dataset has several. */
function systemName(name, system) {
  const protocols = data.datasets[name].protocols;
  return protocols.length > 1 ? `${system.label}; ${protocols[system.protocol].name}` : system.label;
}

function startMap() {
  if (!mapForm()) return;
  mapForm().addEventListener("input", ({ target }) => {
    if (target.name === "lines") mapped.lines = target.checked;
    target.name === "dataset" ? openMap() : drawMap();
  });
  mapForm().addEventListener("submit", (event) => event.preventDefault());
  for (const button of all("[data-zoom]")) {
    button.addEventListener("click", () => zoomMap(button.dataset.zoom === "all" ? "all" : Number(button.dataset.zoom)));
  }
  find("#map-figure .plot").addEventListener("wheel", onWheel, { passive: false, capture: true });
  darkness.addEventListener("change", () => find("#map-figure").dataset.drawn && drawMap());
  whenSeen(find("#map"), openMap);
}
