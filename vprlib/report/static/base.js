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

/** Bytes of deflated base64 text, as vprlib.report.encoding writes it. */
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
const paper = element("i", { class: "paper", hidden: true }); // has the colours of the light theme, always
document.body.append(paper);
let printed = false; // whether what is drawn now is for paper
const themed = []; // what draws in the colours of the theme

/** Call now, and whenever the colours change: with the system's theme, and for print, which is light. */
function inTheme(callback) {
  themed.push(callback);
  callback();
}

const recolour = () => themed.forEach((callback) => callback());
darkness.addEventListener("change", recolour);
for (const [event, isPrinted] of [["beforeprint", true], ["afterprint", false]]) {
  window.addEventListener(event, () => {
    printed = isPrinted;
    if (darkness.matches) recolour();
  });
}

const isDark = () => darkness.matches && !printed;
const style = (name) => getComputedStyle(printed ? paper : document.documentElement).getPropertyValue(name).trim();
const hue = (line) => data.looks.hues[isDark() ? "dark" : "light"][line.hue];

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
