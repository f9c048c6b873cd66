// What all parts share: elements, the page's data, the theme, the charting library. The parts are one module.

const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element with attributes and children; children that are text stay text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** A select's options, [value, label] each; keeps what was chosen, if it is still there. */
function fill(select, options, chosen = select.value) {
  select.replaceChildren(...options.map(([value, label]) => element("option", { value }, label)));
  if (options.some(([value]) => String(value) === String(chosen))) select.value = chosen;
}

/** Bytes of deflated base64 text, as vprlib.report.packing writes it. */
async function unpack(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array, float64: Float64Array };

/** The values of packing.block, by name. */
async function unpackBlock(text) {
  const buffer = await unpack(text);
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const values = header.plain;
  for (const [name, [type, offset, size]] of Object.entries(header.arrays)) {
    values[name] = new TYPES[type](buffer, 4 + length + offset, size);
  }
  return values;
}

const data = JSON.parse(new TextDecoder().decode(await unpack(find("#data").textContent)));

let library = null;
/** The charting library, evaluated when the first chart is seen. */
function plotly() {
  library ??= new Promise((done) => {
    const ready = async () => {
      const source = new TextDecoder().decode(await unpack(find("#plotly").textContent));
      document.head.append(element("script", {}, source));
      done(window.Plotly);
    };
    if (document.readyState === "complete") ready();
    else window.addEventListener("load", ready, { once: true });
  });
  return library;
}

/** Call once when an element is about to be seen, or printed. */
function whenSeen(target, callback) {
  const now = () => {
    observer.disconnect();
    window.removeEventListener("beforeprint", now);
    callback();
  };
  const observer = new IntersectionObserver(
    (entries) => {
      if (entries.some((entry) => entry.isIntersecting)) now();
    },
    { rootMargin: "400px" },
  );
  observer.observe(target);
  window.addEventListener("beforeprint", now);
}

const darkness = window.matchMedia("(prefers-color-scheme: dark)");
const HUES = {
  light: ["#0072B2", "#C24E00", "#00805F", "#A8508A", "#8A6A00", "#2E86C1", "#444444"],
  dark: ["#5AB0EA", "#FF9B5E", "#46D3A2", "#E59BCB", "#E6B93A", "#9AD4F5", "#D0D0D0"],
};
const DASHES = ["solid", "dash", "dashdot", "dot"];
const DASH_ARRAYS = ["", "7 3", "7 3 2 3", "2 3"];
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "pentagon", "x", "star"];

const isDark = () => darkness.matches;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const hue = (run) => HUES[isDark() ? "dark" : "light"][run % 7];

const number = (value, digits = 1) =>
  value === null || Number.isNaN(value) ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
const whole = (value) => value.toLocaleString("en");

/** Call a function at most once a frame, with its last arguments. */
function eachFrame(callback) {
  let waiting = 0;
  return (...given) => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => callback(...given));
  };
}
