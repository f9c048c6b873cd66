// One query: its photo, and the first candidates of two networks.

function photo(answers, kind, item, { frame = "", caption, alt }) {
  const address = item >= 0 ? answers.photo(kind, item) : "";
  const inside = address
    ? element("img", { src: address, alt, loading: "lazy", decoding: "async" })
    : element("span", { class: "none" }, item >= 0 ? "photo not in this page" : "no candidate");
  return element("figure", { class: "photo" }, element("div", { class: `frame ${frame}` }, inside), element("figcaption", {}, ...caption));
}

/** The first candidates of a network, in frames. */
function candidates(answers, system, query) {
  const row = element("div", { class: "answers" });
  for (let place = 0; place < answers.top; place++) {
    const item = answers.answer(system, query, place);
    const hit = answers.hit(system, query, place);
    const metres = item < 0 ? "" : answers.metres(answers.distance(query, item));
    const caption = item < 0 ? ["–"] : [element("span", { class: hit ? "is-right" : "is-wrong" }, hit ? "✓ " : "✗ "), metres];
    const alt = item < 0 ? "" : `Candidate ${place + 1}, ${hit ? "a hit" : "no hit"}, ${metres} away: ${answers.database_paths[item]}`;
    const made = photo(answers, "database", item, { frame: item < 0 ? "" : hit ? "is-right" : "is-wrong", caption, alt });
    if (item >= 0) made.title = answers.database_paths[item];
    row.append(made);
  }
  return row;
}

const rankText = (rank) => (rank === 0 ? "no hit among the candidates" : rank === 255 ? "first hit at rank 255 or later" : `first hit at rank ${rank}`);

function showDetail(answers, query, wanted) {
  const box = find("#explorer-detail");
  if (query === undefined) {
    const blocked = wanted.whole && answers.whole && !answers.whole.some(Boolean);
    const advice = blocked ? " No photo of this dataset fits into the page: untick “with photos only”." : "";
    box.replaceChildren(element("p", { class: "muted" }, `No query fits these filters.${advice}`));
    return;
  }
  const path = answers.query_paths[query];
  const facts = element("dl");
  const fact = (name, value) => facts.append(element("dt", {}, name), element("dd", {}, value));
  const [east, north] = answers.position("query", query);
  if (answers.positions === "map") fact("position", `${number(east)} m east, ${number(north)} m north (UTM)`);
  if (answers.positions === "frames") fact("position", `frame ${number(east, 0)}`);
  for (const [name, labels] of answers.conditions) fact(name, labels[answers[`condition_${name}`][query]]);
  const parts = [
    element("div", { class: "asked" },
      photo(answers, "query", query, { caption: ["the query"], alt: `Query ${query}: ${path}` }),
      element("div", {}, element("h3", {}, `Query ${query}`), element("code", {}, path), facts)),
  ];
  for (const [letter, system] of [["A", wanted.a], ["B", wanted.b]]) {
    const rank = rankText(answers.rank(system, query));
    parts.push(element("h4", {}, `${letter}: ${answers.systems[system].label}`, element("small", {}, rank)), candidates(answers, system, query));
    if (wanted.a === wanted.b) break;
  }
  box.replaceChildren(...parts);
}
