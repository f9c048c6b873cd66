// Line charts by plotly, and the checkboxes that choose their lines. A line's name has one state on the whole page.

const hidden = new Set();
const drawn = new Map(); // figure -> its chart, of those that were seen

// nothing leaves the page: plotly has a button that sends a chart to its makers
const UNWANTED = ["sendChartToCloud", "sendDataToCloud", "select2d", "lasso2d", "autoScale2d"];
const SAVED = { format: "svg", filename: "chart" };
const OPTIONS = {
  responsive: true,
  displaylogo: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: UNWANTED,
  toImageButtonOptions: SAVED,
};

/** What all charts look like in the theme of now. */
function layout(more) {
  const axis = { gridcolor: style("--line"), linecolor: style("--muted"), zeroline: false, automargin: true };
  return {
    font: { family: "system-ui, sans-serif", size: 12.5, color: style("--fg") },
    paper_bgcolor: "rgba(0,0,0,0)",
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
const faded = (colour) => `${colour}2b`;

/** The traces of a line: its band, if it has one, and itself. */
function traces(line, chart, banded) {
  const colour = hue(line.run);
  const traced = [];
  if (line.low && banded) {
    const edge = { type: "scatter", mode: "lines", x: line.x, line: { width: 0 }, hoverinfo: "skip" };
    traced.push({ ...edge, y: line.low }, { ...edge, y: line.high, fill: "tonexty", fillcolor: faded(colour) });
  }
  const few = line.x.length <= 12;
  const range = line.low ? line.low.map((low, i) => [number(low), number(line.high[i])]) : null;
  traced.push({
    type: "scatter",
    mode: few ? "lines+markers" : "lines",
    name: line.label,
    x: line.x,
    y: line.y,
    customdata: range,
    line: { color: colour, width: 2, dash: DASHES[line.variant % 4] },
    marker: { size: 7, symbol: SYMBOLS[line.run % 8] + ((line.variant + Math.floor(line.variant / 4)) % 2 ? "-open" : "") },
    hovertemplate: `${escaped(line.label)}<br>${chart.x.split(",")[0]} %{x}: <b>%{y:.3~f}</b>${range ? " (%{customdata[0]} to %{customdata[1]})" : ""}<extra></extra>`,
  });
  return traced;
}

/** Text for plotly, which reads some tags in labels. */
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/%/g, "&#37;");

async function draw(figure) {
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
    annotations.push({ ...middle, text: "no line is chosen", font: { color: style("--muted") } });
  }
  const yaxis = { title: { text: chart.y, standoff: 6 }, rangemode: chart.y.includes("%") ? "tozero" : "normal" };
  const made = await plotly();
  await made.react(find(".plot", figure), traced, layout({ xaxis, yaxis, shapes, annotations, hovermode: "closest" }), OPTIONS);
  figure.dataset.drawn = shown.length;
}

/** A sample of a line, beside its name. */
function swatch(line) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ width: 30, height: 10, "aria-hidden": "true" })) svg.setAttribute(name, value);
  const stroke = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const look = { d: "M1 5H29", stroke: hue(line.run), "stroke-width": 3, "stroke-dasharray": DASH_ARRAYS[line.variant % 4] };
  for (const [name, value] of Object.entries(look)) stroke.setAttribute(name, value);
  svg.append(stroke);
  return svg;
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
  const buttons = [["all", labels], ["none", []], ...(main.length < labels.length ? [["one a run", main]] : [])];
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
  build();
  darkness.addEventListener("change", build);
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
  darkness.addEventListener("change", () => redraw());
}
