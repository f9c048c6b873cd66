// Line charts by plotly, and the checkboxes that choose their lines. A line's name has one state on the whole page.

const hidden = new Set();
const drawn = new Map(); // figure -> its chart, of those scrolled into view so far

// nothing leaves the page: plotly's button that uploads a chart is removed
const UNWANTED = ["toImage", "sendChartToCloud", "sendDataToCloud", "select2d", "lasso2d", "autoScale2d"];
const FORMATS = { svg: "disk", png: "camera" };
const OPTIONS = {
  responsive: true,
  displaylogo: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: UNWANTED,
};

/** The options of a chart, with the buttons that save it: the same ones always, for with others plotly forgets a zoom. */
function options(made) {
  if (OPTIONS.modeBarButtonsToAdd) return OPTIONS;
  const button = ([format, icon]) => {
    const click = (plot) => save(made, plot, format);
    return { name: `save ${format}`, title: `Save as ${format.toUpperCase()}`, icon: made.Icons[icon], click };
  };
  return Object.assign(OPTIONS, { modeBarButtonsToAdd: Object.entries(FORMATS).map(button) });
}

/** Save a chart as a file, on white with its title and its lines' names, whatever the page's theme. */
async function save(made, plot, format) {
  const figure = plot.closest("figure");
  const again = (saved) => (drawn.has(figure) ? draw(figure, saved) : drawMap(saved));
  printed = true;
  try {
    await again(true);
    const filename = [figure.dataset.dataset, figure.dataset.chart ?? "map"].filter(Boolean).join("-");
    const lines = 1 + all(".legend .traces", plot).length;
    const size = { width: Math.max(plot.clientWidth, 560), height: plot.clientHeight + 20 * lines };
    await made.downloadImage(plot, { format, filename, ...size, scale: format === "png" ? 2 : 1 });
  } finally {
    printed = false;
    await again(false);
  }
}

/** What all charts look like in the theme of now. */
function layout(more) {
  const axis = { gridcolor: style("--line"), linecolor: style("--muted"), zeroline: false, automargin: true };
  return {
    font: { family: "system-ui, sans-serif", size: 12.5, color: style("--fg") },
    paper_bgcolor: printed ? style("--bg") : "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 52, r: 14, t: 24, b: 44 },
    showlegend: false,
    hoverlabel: { bgcolor: style("--card"), bordercolor: style("--muted"), font: { color: style("--fg") }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: style("--muted"), activecolor: style("--accent") },
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
  };
}

const MOST_BANDS = 6; // more would cover each other
const WIDTH = 2; // of a line, in pixels
const dashes = (line) => data.looks.dashes[line.dash].map((length) => length * WIDTH);
const faded = (colour) => `${colour}2b`;

/** The traces of a line: its band, if it has one, and itself. */
function traces(line, chart, banded) {
  const colour = hue(line);
  const traced = [];
  if (line.low && banded) {
    const edge = { type: "scatter", mode: "lines", x: line.x, line: { width: 0 }, hoverinfo: "skip", showlegend: false };
    traced.push({ ...edge, y: line.low }, { ...edge, y: line.high, fill: "tonexty", fillcolor: faded(colour) });
  }
  const range = line.low ? line.low.map((low, i) => [number(low), number(line.high[i])]) : null;
  traced.push({
    type: "scatter",
    mode: "lines+markers",
    name: escaped(line.label),
    legendgroup: line.label,
    x: line.x,
    y: line.y,
    customdata: range,
    line: { color: colour, width: WIDTH, shape: chart.stepped ? "vh" : "linear", dash: dashes(line).map((length) => `${length}px`).join() || "solid" },
    marker: {
      size: 7,
      maxdisplayed: 12,
      symbol: data.looks.markers[line.marker],
      color: line.hollow ? style("--bg") : colour,
      line: { color: colour, width: 1.2 },
      opacity: 1,
    },
    hovertemplate: `${escaped(line.label)}<br>${chart.x.split(",")[0]} %{x}: <b>%{y:.3~f}</b>${range ? " (%{customdata[0]} to %{customdata[1]})" : ""}<extra></extra>`,
  });
  return traced;
}

/** Text for plotly, which reads some tags in labels. */
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/%/g, "&#37;");

/** Draw a chart; one that is saved has its title and its lines' names in it. */
async function draw(figure, saved = false) {
  const chart = drawn.get(figure);
  const shown = chart.lines.filter((line) => !hidden.has(line.label));
  const traced = shown.flatMap((line) => traces(line, chart, shown.length <= MOST_BANDS));
  if (chart.chance) {
    const look = { mode: "lines", name: "chance", line: { color: style("--muted"), dash: "dot", width: 1.5 } };
    traced.push({ type: "scatter", ...chart.chance, ...look, hovertemplate: "chance: %{y:.1f}<extra></extra>" });
  }
  const xaxis = { title: { text: chart.x }, type: chart.log ? "log" : "linear" };
  if (chart.ticks) Object.assign(xaxis, { tickmode: "array", tickvals: chart.ticks, ticktext: chart.ticks.map(String) });
  const shapes = [];
  const annotations = [];
  if (chart.at) {
    const x = chart.at.x;
    shapes.push({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: style("--muted"), dash: "dot" } });
    const place = { x: Math.log10(x), y: 1, yref: "paper", yanchor: "bottom", showarrow: false };
    annotations.push({ ...place, text: escaped(chart.at.label), font: { size: 11.5, color: style("--muted") } });
  }
  if (!shown.length) {
    const middle = { xref: "paper", yref: "paper", x: 0.5, y: 0.5, showarrow: false };
    annotations.push({ ...middle, text: "no line is selected", font: { color: style("--muted") } });
  }
  const yaxis = { title: { text: chart.y, standoff: 6 }, rangemode: chart.y.includes("%") ? "tozero" : "normal" };
  const more = { xaxis, yaxis, shapes, annotations, hovermode: "closest", uirevision: "zoomed" }; // kept as it is drawn again
  if (saved) Object.assign(more, named(figure, traced));
  const made = await plotly();
  await made.react(find(".plot", figure), traced, layout(more), options(made));
  figure.dataset.drawn = shown.length;
}

/** The title and the legend of a chart that stands alone; several seeds of a line have one name. */
function named(figure, traced) {
  const names = new Set();
  for (const trace of traced.filter((one) => one.showlegend !== false)) {
    trace.showlegend = !names.has(trace.name);
    names.add(trace.name);
  }
  const [title, about] = find("figcaption", figure).childNodes;
  return titled([title, about].filter(Boolean).map((one) => one.textContent));
}

/** The layout of what is saved: a title, of a line or two, and the legend beneath. */
function titled(texts, left = 52) {
  const legend = { x: 0, y: 0.01, yref: "container", yanchor: "bottom" };
  const title = { text: texts.map(escaped).join("<br>"), x: 0, xref: "paper", font: { size: 13 } };
  return { showlegend: true, legend, title, margin: { l: left, r: 14, t: 64, b: 44 } };
}

// the markers of data.looks.markers as paths about 0, 0
const SHAPES = {
  circle: "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0Z",
  square: "M-3-3H3V3H-3Z",
  "triangle-up": "M0-4L4 3H-4Z",
  diamond: "M0-4.2L4.2 0L0 4.2L-4.2 0Z",
  "triangle-down": "M0 4L4-3H-4Z",
  cross: "M-1.3-4H1.3V-1.3H4V1.3H1.3V4H-1.3V1.3H-4V-1.3H-1.3Z",
  x: "M-4-2.2L-2.2-4L0-1.8L2.2-4L4-2.2L1.8 0L4 2.2L2.2 4L0 1.8L-2.2 4L-4 2.2L-1.8 0Z",
  star: "M0-4.5L1.2-1.5L4.4-1.4L1.9.6L2.8 3.7L0 1.9L-2.8 3.7L-1.9.6L-4.4-1.4L-1.2-1.5Z",
};

/** An SVG element with attributes and children. */
function drawing(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A sample of a line, beside its name. */
function swatch(line) {
  const colour = hue(line);
  const stroke = { d: "M1 6H43", stroke: colour, "stroke-width": WIDTH, "stroke-dasharray": dashes(line).join(" ") };
  const look = { fill: line.hollow ? style("--bg") : colour, stroke: colour, "stroke-width": 1.2 };
  const marker = { ...look, d: SHAPES[data.looks.markers[line.marker]], transform: "translate(22 6)" };
  const size = { width: 44, height: 12, "aria-hidden": "true" };
  return drawing("svg", size, drawing("path", stroke), drawing("path", marker));
}

const redraw = eachFrame((changed) => {
  for (const [figure, chart] of drawn) {
    if (!changed || chart.lines.some((line) => changed.has(line.label))) draw(figure);
  }
});

/** Show or hide lines by their names, wherever they are. */
function choose(labels, shown) {
  for (const label of labels) {
    if (shown) hidden.delete(label);
    else hidden.add(label);
  }
  for (const box of all(".toggles input")) box.checked = !hidden.has(box.value);
  redraw(new Set(labels));
}

function toggles(fieldset, charts) {
  const lines = new Map();
  for (const chart of charts) for (const line of chart.lines) lines.set(line.label, lines.get(line.label) ?? line);
  const labels = [...lines.keys()];
  const main = labels.filter((label) => lines.get(label).main);
  const buttons = [["all", labels], ["none", []], ...(main.length < labels.length ? [["one per run", main]] : [])];
  const row = element("span", { class: "buttons" });
  for (const [name, wanted] of buttons) {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", () => {
      choose(labels, false);
      choose(wanted, true);
      redraw();
    });
    row.append(button);
  }
  const list = element("div", { class: "lines" });
  const build = () =>
    list.replaceChildren(
      ...labels.map((label) => {
        const box = element("input", { type: "checkbox", value: label });
        box.checked = !hidden.has(label);
        box.addEventListener("change", () => choose([label], box.checked));
        return element("label", {}, box, swatch(lines.get(label)), label);
      }),
    );
  if (labels.length > MOST_BANDS) for (const label of labels) if (!lines.get(label).main) hidden.add(label);
  inTheme(build);
  fieldset.append(row, list);
}

function startCharts() {
  const chartsOf = (name, protocol) => (name ? data.datasets[name].protocols[protocol].charts : data.training);
  for (const fieldset of all(".toggles")) {
    toggles(fieldset, Object.values(chartsOf(fieldset.dataset.toggles, fieldset.dataset.protocol)));
  }
  for (const box of all(".toggles input")) box.checked = !hidden.has(box.value);
  for (const figure of all(".chart[data-chart]")) {
    const chart = chartsOf(figure.dataset.dataset, figure.dataset.protocol)[figure.dataset.chart];
    whenSeen(figure, () => {
      drawn.set(figure, chart);
      draw(figure);
    });
  }
  inTheme(() => [...drawn.keys()].forEach((figure) => draw(figure))); // at once, for print waits for no frame
}
