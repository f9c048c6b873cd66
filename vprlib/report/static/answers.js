// The queries of a dataset and their results, unpacked when they are first needed.

const loaded = new Map();

/** The answers of a dataset: a promise of Answers. */
function answersOf(name) {
  if (!loaded.has(name)) {
    const text = find(`script[data-answers="${CSS.escape(name)}"]`).textContent;
    loaded.set(name, unpackBlock(text).then((values) => new Answers(name, values)));
  }
  return loaded.get(name);
}

class Answers {
  constructor(name, values) {
    Object.assign(this, values);
    this.name = name;
    this.unit = data.datasets[name].unit;
    this.positions = data.datasets[name].positions;
    this.radii = data.datasets[name].radii;
    this.utm = `UTM ${this.zone}`.trim();
    this.stored = this.database_paths.length;
    this.lower = this.query_paths.map((path) => path.toLowerCase());
    this.errors = this.systems.map((_, system) => this.errorsOf(system));
  }

  /** The database photo that a network put at a place, -1 if none. */
  answer(system, query, place) {
    return this[`top${system}`][place * this.queries + query] - 1;
  }

  /** How like the query a network found the photo at a place. */
  score(system, query, place) {
    let score = 0;
    for (let before = 0; before <= place; before++) score += (before ? -1 : 1) * this[`score${system}`][before * this.queries + query];
    return score / 1000;
  }

  /** The database photo that a query should be answered by, -1 if none is right. */
  rightPhoto(system, query) {
    return this[`right${this.systems[system].protocol}`][query] - 1;
  }

  hit(system, query, place) {
    return (this[`hit${system}`][query] >> place) & 1;
  }

  /** Of the first hit, 0 if none is among the candidates. */
  rank(system, query) {
    return this[`rank${system}`][query];
  }

  asked(system, query) {
    return this[`asked${system}`][query];
  }

  right(system, query) {
    return this.rank(system, query) === 1;
  }

  /** How far apart they are; of places without coordinates, 0 or 1: whether they are two places. */
  distance(query, photo) {
    const [q, d] = [this.query_xy, this.database_xy];
    const far = Math.hypot(q[query] - d[photo], q[this.queries + query] - d[this.stored + photo]) / 100;
    return this.positions === "places" ? Math.sign(far) : far;
  }

  /** How far the first answer of each query is; infinite without one. */
  errorsOf(system) {
    const errors = new Float64Array(this.queries);
    for (let query = 0; query < this.queries; query++) {
      const photo = this.answer(system, query, 0);
      errors[query] = photo < 0 ? Infinity : this.distance(query, photo);
    }
    return errors;
  }

  position(kind, item) {
    const xy = this[`${kind}_xy`];
    return [xy[item] / 100 + this.origin[0], xy[xy.length / 2 + item] / 100 + this.origin[1]];
  }

  metres(value) {
    if (this.positions === "listed" && Number.isFinite(value)) return "";
    if (this.positions === "places" && Number.isFinite(value)) return value ? "other place" : "same place";
    return Number.isFinite(value) ? `${number(value, this.unit === "m" ? 1 : 0)} ${this.unit}` : "no candidate";
  }

  /** The address of a photo's thumbnail, "" if the page has none. */
  photo(kind, item) {
    if (this[`${kind}_files`]) return encodeURI(this[`${kind}_files`][item]).replace(/[#?]/g, encodeURIComponent);
    const at = this[`${kind}_at`];
    if (!at || at[2 * item] === at[2 * item + 1]) return "";
    this.text ??= find(`script[data-photos="${CSS.escape(this.name)}"]`).textContent;
    return `data:image/webp;base64,${this.text.slice(at[2 * item], at[2 * item + 1])}`;
  }
}
