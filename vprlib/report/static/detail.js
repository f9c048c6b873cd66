// One query: its photo, its ground-truth photo, and the first candidates of two networks.

function photo(answers, kind, item, { frame = "", caption, alt, none = "no candidate" }) {
  const address = item >= 0 ? answers.photo(kind, item) : "";
  const inside = address
    ? element("img", { src: address, alt, loading: "lazy", decoding: "async" })
    : element("span", { class: "none" }, item >= 0 ? "photo not in this page" : none);
  const title = kind === "database" && item >= 0 ? answers.database_paths[item] : null;
  return element("figure", { class: "photo", title }, element("div", { class: `frame ${frame}` }, inside), element("figcaption", {}, ...caption));
}

/** The first candidates of a network, in frames. */
function candidates(answers, system, query) {
  const row = element("div", { class: "answers" });
  for (let place = 0; place < answers.top; place++) {
    const item = answers.answer(system, query, place);
    const hit = answers.hit(system, query, place);
    const metres = item < 0 ? "" : answers.metres(answers.distance(query, item));
    const score = item < 0 ? "" : number(answers.score(system, query, place), 3);
    const mark = element("span", { class: hit ? "is-right" : "is-wrong" }, hit ? "✓ " : "✗ ");
    const caption = item < 0 ? ["–"] : [mark, metres, element("small", {}, `score ${score}`)];
    const alt = item < 0 ? "" : `Candidate ${place + 1}, ${hit ? "a hit" : "no hit"}, ${metres}, score ${score}: ${answers.database_paths[item]}`;
    row.append(photo(answers, "database", item, { frame: item < 0 ? "" : hit ? "is-right" : "is-wrong", caption, alt }));
  }
  return row;
}

/** The photo that a query should be answered by. */
function rightOne(answers, system, query) {
  const item = answers.rightPhoto(system, query);
  const none = "the database has no correct photo";
  if (item < 0) return photo(answers, "database", item, { caption: ["ground truth"], none });
  const metres = answers.metres(answers.distance(query, item));
  const name = ["places", "listed"].includes(answers.positions) ? "a correct photo" : "nearest correct photo";
  const caption = [element("span", { class: "is-right" }, "✓ "), metres ? `${name}: ${metres}` : name];
  const alt = `Ground truth, ${name}, ${metres}: ${answers.database_paths[item]}`;
  return photo(answers, "database", item, { frame: "is-right", caption, alt });
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
  if (answers.positions === "map") fact("position", `${number(east)} m east, ${number(north)} m north (${answers.utm})`);
  if (answers.positions === "frames") fact("position", `frame ${number(east, 0)}`);
  for (const [name, labels] of answers.conditions) fact(name, labels[answers[`condition_${name}`][query]]);
  const asked = element("div", { class: "asked" }, photo(answers, "query", query, { caption: ["the query"], alt: `Query ${query}: ${path}` }));
  if (![wanted.a, wanted.b].every((system) => answers.right(system, query))) asked.append(rightOne(answers, wanted.a, query));
  asked.append(element("div", { class: "about" }, element("h3", {}, `Query ${query}`), element("code", {}, path), facts));
  const parts = [asked];
  for (const [letter, system] of [["A", wanted.a], ["B", wanted.b]]) {
    const rank = rankText(answers.rank(system, query));
    parts.push(element("h4", {}, `${letter}: ${answers.systems[system].label}`, element("small", {}, rank)), candidates(answers, system, query));
    if (wanted.a === wanted.b) break;
  }
  box.replaceChildren(...parts);
}
