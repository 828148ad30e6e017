"use strict";
// The trajectory browser: a list on the left, of which only the visible rows are in the page, and one group of rollouts on
// the right. The data is what `trajectories.py` packs. What a model wrote enters the page as text nodes and attributes alone.
(async () => {
  const ROW = 52; // pixels, as in browser.css
  const BEYOND = 8; // rows drawn above and below the visible ones
  const PAUSE = 70; // milliseconds without a key before a search begins
  const TAIL = 4; // messages of a dialogue that are shown at once; earlier ones are folded away
  const LONG = 400; // characters of a rollout that need a wide column
  const MOST_LINKS = 3; // back from recoveries to rollouts that failed in the same words
  const STRONG = 2; // an advantage of this size has the full colour

  const at = (name) => document.getElementById(`browser-${name}`);
  const [list, rows, pane, filters, count, keys] = ["list", "rows", "detail", "filters", "count", "keys"].map(at);
  const panes = list.parentElement;
  const search = filters.elements.q;

  // ---- elements

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child || child === "")); // strings become text nodes
    return element;
  };
  const spaced = (name) => name.replaceAll("_", " ");
  const kindOf = ({ kind, error_kind }) => spaced(kind) + (error_kind ? ` (${spaced(error_kind)})` : "");

  // ---- data

  const unpack = async () => {
    const bytes = Uint8Array.from(atob(at("data").textContent), (character) => character.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(plain).text());
  };

  const outcomeOf = (rollout) => (rollout.reward === null ? "masked" : rollout.outcome ? "right" : "wrong");

  const itemsOf = (groups) => {
    const items = [];
    for (const group of groups) {
      group.items = group.rollouts.map((rollout, place) => ({
        group,
        rollout,
        place,
        id: [group.run, group.recovery ? "r" : "e", group.line, place].join("."),
        outcome: outcomeOf(rollout),
        failure: group.recovery ? group.failed : rollout.failure,
        links: [],
      }));
      items.push(...group.items);
    }
    return items;
  };

  // Rollouts that say the same in the same place share a key, and one of them is fissioned for all: a group of recoveries may
  // have several origins, the nearest update first.
  const linkFailures = (groups) => {
    const recoveries = new Map();
    for (const group of groups.filter((each) => each.recovery && each.key)) {
      const name = `${group.run} ${group.key}`;
      recoveries.set(name, [group, ...(recoveries.get(name) ?? [])]); // the first attempt first
    }
    for (const group of groups.filter((each) => !each.recovery))
      for (const item of group.items) {
        const same = (item.failure && recoveries.get(`${group.run} ${item.failure.key}`)) ?? [];
        const led = same.filter((each) => each.step >= group.step);
        item.links = led.map((each) => each.items[0]);
        for (const each of led) each.items.forEach((recovery) => recovery.links.push(item));
      }
  };

  // ---- search: every text stands once, so every text is looked at once

  let lowered = null; // made by the first search

  const matcher = (word) => {
    lowered ??= data.texts.map((text) => text.toLowerCase());
    const hits = lowered.map((text) => text.includes(word));
    const groupHits = new Map();
    const inGroup = (group) => {
      if (!groupHits.has(group)) {
        const words = [group.task, data.runs[group.run].label, group.feedback?.source ?? ""].join(" ").toLowerCase();
        const places = group.dialogue.map(([, text]) => text);
        if (group.failed) places.push(group.failed.text, ...group.failed.results, group.feedback.text);
        groupHits.set(group, words.includes(word) || places.some((place) => hits[place]));
      }
      return groupHits.get(group);
    };
    const kinds = (item) => (item.failure ? `${item.failure.kind} ${item.failure.error_kind ?? ""}`.toLowerCase() : "");
    const inKinds = (item) => kinds(item).includes(word) || spaced(kinds(item)).includes(word);
    return (item) => inGroup(item.group) || inKinds(item) || item.rollout.segments.some(([text]) => hits[text]);
  };

  const testsOf = (form) => {
    const tests = [];
    const when = (name, test) => form.get(name) && tests.push(test(form.get(name)));
    when("run", (run) => (item) => item.group.run === Number(run));
    when("type", (type) => (item) => item.group.recovery === (type === "recovery"));
    when("outcome", (outcome) => (item) => item.outcome === outcome);
    when("kind", (kind) => (item) => item.failure?.kind === kind);
    when("error", (kind) => (item) => item.failure?.error_kind === kind);
    when("from", (step) => (item) => item.group.step >= Number(step));
    when("to", (step) => (item) => item.group.step <= Number(step));
    when("led", () => (item) => !item.group.recovery && item.links.length > 0);
    for (const word of form.get("q").toLowerCase().split(/\s+/).filter(Boolean)) tests.push(matcher(word));
    return tests;
  };

  // ---- the list

  let shown = [];
  let selected = null;

  const filter = () => {
    const tests = testsOf(new FormData(filters));
    shown = items.filter((item) => tests.every((test) => test(item)));
    rows.style.height = `${shown.length * ROW}px`;
    count.textContent = `${shown.length.toLocaleString("en")} of ${items.length.toLocaleString("en")} trajectories`;
    list.scrollTop = Math.max(0, shown.indexOf(selected)) * ROW;
    draw();
    remember();
  };

  const row = (item, place) => {
    const { group, failure } = item;
    const facts = [`update ${group.step}`, group.recovery ? "recovery" : "exploration"];
    if (failure) facts.push(spaced(failure.kind));
    const position = { "aria-selected": String(item === selected), "aria-posinset": place + 1, "aria-setsize": shown.length };
    const name = make("span", { class: "name" }, dot(group), group.task);
    const led = !group.recovery && item.links.length > 0 && make("span", { title: "has recoveries" }, "⤷ ");
    const reward = item.rollout.reward === null ? "" : item.rollout.reward.toFixed(2);
    const element = make(
      "div", { class: "row", role: "option", id: `browser-row-${place}`, ...position, onclick: () => open(item) },
      make("div", {}, name, badge(item)),
      make("div", { class: "facts" }, make("span", {}, facts.join(" · ")), make("span", { class: "figure" }, led, reward)),
    );
    element.style.top = `${place * ROW}px`;
    return element;
  };

  const dot = (group) => {
    const element = make("span", { class: "dot", title: data.runs[group.run].label });
    element.style.background = data.runs[group.run].colour;
    return element;
  };
  const badge = (item) => make("span", { class: `badge ${item.outcome}` }, item.outcome);

  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - BEYOND);
    const last = Math.ceil((list.scrollTop + list.clientHeight) / ROW) + BEYOND;
    rows.replaceChildren(...shown.slice(first, last).map((item, place) => row(item, first + place)));
    const active = rows.querySelector("[aria-selected=true]");
    if (active) list.setAttribute("aria-activedescendant", active.id);
    else list.removeAttribute("aria-activedescendant");
  };

  // ---- one group of rollouts

  const message = (role, text, kind = "") =>
    make("div", { class: `message ${kind}` }, make("div", { class: "role" }, role), make("pre", {}, data.texts[text]));

  const dialogue = (group) => {
    const said = group.dialogue.map(([role, text]) =>
      role === "system" ? folded("system message", [message(role, text)]) : message(role, text));
    const early = said.slice(0, -TAIL);
    return early.length > 1 ? [folded(`${early.length} earlier messages`, early), ...said.slice(-TAIL)] : said;
  };
  const folded = (title, inside) => make("details", {}, make("summary", {}, title), ...inside);

  const failedMessage = ({ failed, feedback: { text, source, level, replaced } }) => [
    message("the failed message", failed.text, "failed"),
    ...failed.results.map((answer) => message("the environment's answer", answer)),
    message(`feedback (${source}, level ${level}${replaced ? `, in place of ${replaced}` : ""})`, text, "feedback"),
  ];

  const signed = (number) =>
    number === null ? "none" : (number < 0 ? "−" : number > 0 ? "+" : "") + Math.abs(number).toFixed(2);

  // Trained parts by the sign and size of their advantage, each its own where there is one a message; others plain.
  const completion = (rollout) => {
    let trainedParts = 0;
    const text = make("pre");
    for (const [place, trained] of rollout.segments) {
      const part = make("div", { class: "part" });
      text.append(part);
      if (!trained) {
        part.append(make("span", { class: "untrained" }, data.texts[place]));
        continue;
      }
      const perMessage = Array.isArray(rollout.advantage);
      const advantage = (perMessage ? rollout.advantage[trainedParts] : rollout.advantage) ?? 0;
      const way = advantage > 0 ? "up" : advantage < 0 ? "down" : "flat";
      const title = `trained, advantage ${signed(advantage)}`;
      const mark = make("mark", { class: `trained ${way}`, title }, data.texts[place]);
      mark.style.setProperty("--share", Math.min(1, Math.abs(advantage) / STRONG));
      if (perMessage) part.append(make("span", { class: "step" }, `${signed(advantage)} `));
      part.append(mark);
      trainedParts += 1;
    }
    return text;
  };

  const link = (to) => {
    const rights = to.group.items.filter((item) => item.outcome === "right").length;
    const words = to.group.recovery
      ? `→ its recoveries: update ${to.group.step}, ${rights} of ${to.group.items.length} right`
      : `← the rollout that failed: update ${to.group.step}, ${to.place + 1} of ${to.group.items.length}`;
    return make("button", { type: "button", class: "link", onclick: () => open(to) }, words);
  };

  const links = (item) =>
    item.links.length ? make("div", { class: "links" }, ...item.links.slice(0, MOST_LINKS).map(link)) : null;

  const sibling = (item) => {
    const { rollout, group } = item;
    const advantages = [rollout.advantage].flat().map(signed).join(", ");
    const failure = group.recovery ? null : rollout.failure;
    const turn = failure?.turn ? `, turn ${failure.turn + 1}` : "";
    const name = `${group.recovery ? "recovery" : "rollout"} ${item.place + 1}`;
    const place = { "aria-current": String(item === selected), "data-place": item.place };
    return make(
      "div", { class: `sibling ${item.outcome}`, role: "listitem", ...place },
      make("header", {}, make("button", { type: "button", onclick: () => open(item) }, name), badge(item)),
      completion(rollout),
      make(
        "div", { class: "figures" },
        make("span", {}, rollout.reward === null ? "masked: the infrastructure failed" : `reward ${rollout.reward.toFixed(3)}`),
        make("span", {}, `advantage ${advantages}`),
        failure && make("span", {}, kindOf(failure) + turn),
      ),
      group.recovery ? null : links(item),
    );
  };

  const detail = () => {
    const { group } = selected;
    const facts = [data.runs[group.run].label, `update ${group.step}`, group.recovery ? "recovery" : "exploration"];
    if (group.failed) facts.push(kindOf(group.failed));
    if (group.failed?.attempt) facts.push(`attempt ${group.failed.attempt + 1}`);
    const length = (rollout) => rollout.segments.reduce((sum, [text]) => sum + data.texts[text].length, 0);
    const isLong = group.rollouts.some((each) => length(each) > LONG);
    const rights = group.items.filter((item) => item.outcome === "right").length;
    pane.replaceChildren(make(
      "div", {},
      make("button", { type: "button", id: "browser-back", onclick: leave }, "Back to the list"),
      make("h3", {}, dot(group), group.task),
      make("p", { class: "soft" }, facts.join(" · ")),
      group.recovery ? links(selected) : null,
      ...dialogue(group),
      ...(group.failed ? failedMessage(group) : []),
      make("h4", {}, `${group.recovery ? "recoveries" : "rollouts"}: ${rights} of ${group.items.length} right`),
      make("div", { class: `siblings${isLong ? " long" : ""}`, role: "list" }, ...group.items.map(sibling)),
    ));
  };

  // ---- moving

  const select = (item) => {
    const stays = item.group === selected?.group;
    const before = pane.scrollTop;
    selected = item;
    const top = shown.indexOf(item) * ROW;
    if (top >= 0 && (top < list.scrollTop || top + ROW > list.scrollTop + list.clientHeight))
      list.scrollTop = top - (list.clientHeight - ROW) / 2;
    draw();
    detail();
    pane.scrollTop = stays ? before : 0;
    remember();
  };
  const open = (item) => {
    select(item);
    panes.classList.add("open");
    pane.focus({ preventScroll: true });
  };
  const leave = () => {
    panes.classList.remove("open");
    list.focus({ preventScroll: true });
  };
  const move = (by) => {
    if (!shown.length) return;
    const place = shown.indexOf(selected);
    select(shown[Math.min(shown.length - 1, Math.max(0, place < 0 ? 0 : place + by))]);
    if (document.activeElement !== pane) list.focus({ preventScroll: true });
    panes.scrollIntoView({ block: "nearest" });
  };
  const toSibling = (by) => {
    const next = selected?.group.items[selected.place + by];
    if (!next) return;
    select(next);
    pane.querySelector(`[data-place="${next.place}"]`).scrollIntoView({ block: "nearest" });
  };
  const follow = () => selected?.links.length && open(selected.links[0]);

  const page = () => Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
  const anywhere = {
    j: () => move(1), k: () => move(-1), "[": () => toSibling(-1), "]": () => toSibling(1), l: follow,
    "/": () => search.focus(), "?": () => keys.showModal(), Escape: leave,
  }; // prettier-ignore
  const inList = {
    ArrowDown: () => move(1), ArrowUp: () => move(-1), PageDown: () => move(page()), PageUp: () => move(-page()),
    Home: () => move(-shown.length), End: () => move(shown.length), Enter: () => (selected ? open(selected) : move(1)),
  }; // prettier-ignore
  const inSearch = { Escape: leave, ArrowDown: () => move(1), Enter: () => move(0) };

  document.addEventListener("keydown", (event) => {
    const isCommand = (event.ctrlKey || event.metaKey || event.altKey) && !"[]".includes(event.key); // these may need AltGr
    if (isCommand || keys.open) return;
    const { target } = event;
    const isField = target.matches("input, select, textarea");
    let action = isField ? (target === search ? inSearch[event.key] : event.key === "Escape" && leave) : anywhere[event.key];
    if (target === list) action ??= inList[event.key];
    if (!action || (event.key === "Escape" && !target.closest("#browser"))) return;
    event.preventDefault();
    action();
  });

  // ---- the address holds what is searched, filtered and selected

  let pending = 0;
  const remember = () => {
    clearTimeout(pending); // browsers limit how often an address may change
    pending = setTimeout(write, PAUSE);
  };
  const write = () => {
    const state = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));
    if (selected) state.set("at", selected.id);
    history.replaceState(null, "", `#${state}`);
  };
  const recall = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const element of filters.elements)
      if (element.type === "checkbox") element.checked = state.has(element.name);
      else if (element.name && state.has(element.name)) element.value = state.get(element.name);
    return items.find((item) => item.id === state.get("at"));
  };

  const fill = (name, options) =>
    filters.elements[name].append(...options.map(([value, title]) => make("option", { value }, title)));
  const kindsOf = (name) =>
    [...new Set(items.map((item) => item.failure?.[name]).filter(Boolean))].sort().map((kind) => [kind, spaced(kind)]);

  const data = await unpack();
  const items = itemsOf(data.groups);
  linkFailures(data.groups);
  fill("run", data.runs.map((run, place) => [place, run.label]));
  fill("kind", kindsOf("kind"));
  fill("error", kindsOf("error_kind"));

  let pause = 0;
  filters.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(filter, PAUSE);
  });
  filters.addEventListener("reset", () => setTimeout(filter));
  filters.addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(list);
  at("help").addEventListener("click", () => keys.showModal());

  const recalled = recall();
  filter();
  if (recalled) {
    select(recalled);
    list.focus({ preventScroll: true });
    if (performance.getEntriesByType("navigation")[0].type !== "reload") panes.scrollIntoView(); // a reload keeps its place
  }
})();
