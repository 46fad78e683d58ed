// Pairs one after the other, in the order drawn for this rater; what is entered is kept at once.
(() => {
  const find = (id) => document.getElementById(id);
  const review = JSON.parse(find("review").textContent);
  const ask = find("ask"), who = find("who");
  const READABLE = ["yes", "partly", "no"];
  let rater = null, shown = [], ratings = [], at = 0, saved = true;

  const viewer = makeViewer(find("films"), {
    width: find("width"), level: find("level"), zoom: find("zoom"),
    invert: find("invert"), reset: find("reset"), actual: find("actual"),
  });

  // What the browser keeps; some keep nothing of a page that is a file.
  const store = (() => {
    try {
      const probe = `mmedpo-review:${review.page}:probe`;
      localStorage.setItem(probe, "1");
      localStorage.removeItem(probe);
      return localStorage;
    } catch {
      return null;
    }
  })();
  const place = (number) => `mmedpo-review:${review.page}:${number}`;
  const recall = (number) => {
    try {
      return JSON.parse(store?.getItem(place(number)) ?? "null");
    } catch {
      return null;
    }
  };
  const keep = () => {
    try {
      store.setItem(place(rater.number), JSON.stringify({ name: rater.name, at, ratings }));
      find("kept").textContent = "Kept in this browser";
    } catch {
      find("kept").textContent = "Not kept in this browser: save your ratings before you close this page";
    }
  };
  find("kept-where").textContent = store
    ? "Your ratings are kept in this browser as you go, so that you can close this page and go on later."
    : "This browser does not keep what you enter: save your ratings before you close this page.";

  const isWhole = (rating) => Boolean(rating.verdict && rating.relevance);
  const empty = () => ({ verdict: "", relevance: "", readable: "", comment: "", time: "" });

  // --- the screens
  const open = (name) => {
    for (const one of ["start", "item", "end"]) find(one).hidden = one !== name;
    find("save").disabled = !rater;
  };

  const sayProgress = () => {
    const done = ratings.filter(isWhole).length;
    find("progress").max = shown.length;
    find("progress").value = done;
    find("progress-said").textContent = `${done} of ${shown.length} rated`;
  };

  const showSides = (pair, swapped) => {
    const sides = swapped ? [pair.sides[1], pair.sides[0]] : pair.sides;
    const films = sides.map((side) => side.films);
    const alike = String(films[0]) === String(films[1]), same = sides[0].answer === sides[1].answer;
    const named = alike ? [["Film", films[0]]] : [["Film A", films[0]], ["Film B", films[1]]];
    const panes = named.flatMap(([name, numbers]) => numbers.map((number, place) => ({
      source: `data:image/png;base64,${find(`film-${number}`).textContent}`,
      caption: numbers.length > 1 ? `${name}, ${place + 1} of ${numbers.length}` : name,
      size: find(`film-${number}`).dataset.size,
    })));
    viewer.show(panes);
    find("look").hidden = !panes.length;
    find("no-film").hidden = panes.length > 0;
    document.querySelector(".sheet").classList.toggle("bare", !panes.length);
    find("readable").hidden = alike;
    find("verdict-asked").textContent = !same ? (alike ? "Which answer is right?" : "Which film with its answer is right?")
      : "Which film shows what the answer says?";
    const row = (name, text, one) => {
      const div = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name;
      dd.textContent = text;
      dd.dir = "auto";
      div.className = one ? "one" : "";
      div.append(dt, dd);
      return div;
    };
    find("answers").replaceChildren(...(same
      ? [row("The answer, to both films", sides[0].answer, true)]
      : sides.map((side, place) => row("AB"[place], side.answer, false))));
    const words = same ? ["Film A", "Film B"] : ["A is right", "B is right"];
    ["A", "B"].forEach((value, place) => {
      ask.querySelector(`[name=verdict][value=${value}]`).closest("label").querySelector("span").textContent = words[place];
    });
  };

  const fill = () => {
    const rating = ratings[at];
    for (const name of ["verdict", "relevance", "readable"]) {
      for (const input of ask.querySelectorAll(`[name=${name}]`)) input.checked = input.value === rating[name];
    }
    ask.comment.value = rating.comment;
  };

  const go = (to) => {
    at = Math.min(Math.max(to, 0), shown.length);
    keep();
    sayProgress();
    if (at === shown.length) {
      finish();
      return;
    }
    const { pair, swapped } = shown[at];
    open("item");
    find("item-title").textContent = `Pair ${at + 1} of ${shown.length}`;
    find("question").textContent = pair.question;
    find("code").textContent = pair.code;
    showSides(pair, swapped);
    fill();
    find("back").disabled = at === 0;
    find("item-title").focus({ preventScroll: true });
    scrollTo(0, 0);
  };

  const nextOpen = () => {
    const rest = [...ratings.keys()].filter((place) => !isWhole(ratings[place]));
    return rest.find((place) => place > at) ?? rest[0] ?? shown.length;
  };

  const finish = () => {
    open("end");
    const without = ratings.filter((rating) => !isWhole(rating)).length;
    find("end-said").textContent = without
      ? `${ratings.length - without} of ${ratings.length} have both a verdict and a relevance; ${without} do not. You may leave them so.`
      : `All ${ratings.length} are rated. Thank you.`;
    find("open-next").disabled = !without;
    find("as-text").value = writeTable(rows()).slice(1);
    find("end-title").focus({ preventScroll: true });
  };

  // --- ratings
  const change = (name, value) => {
    ratings[at] = { ...ratings[at], [name]: value, time: new Date().toISOString() };
    saved = false;
    keep();
    sayProgress();
  };
  const choose = (name, value) => {
    change(name, value);
    fill();
  };
  const clear = () => {
    ratings[at] = { ...empty(), time: new Date().toISOString() };
    saved = false;
    keep();
    fill();
    sayProgress();
  };
  const cycle = () => {
    if (!find("readable").hidden) choose("readable", READABLE[(READABLE.indexOf(ratings[at].readable) + 1) % 3]);
  };

  const rows = () => shown.map(({ pair, digest, number }, place) => ({
    rater: rater.name, pair: pair.code, digest, presentation: number, ...ratings[place],
  }));
  const save = () => {
    if (!rater) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([writeTable(rows())], { type: "text/csv;charset=utf-8" }));
    const name = rater.name.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || `reader-${rater.number}`;
    link.download = `ratings-${name}-${review.page.slice(0, 6)}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    saved = true;
    find("kept").textContent = `Saved as ${link.download}, where your browser puts downloads`;
  };

  // --- who rates
  const plan = (number) => review.raters[number - 1].map(([place, swapped, again]) => {
    const pair = review.pairs[place];
    return { pair, swapped: Boolean(swapped), digest: pair.digests[swapped], number: again };
  });
  const begin = (name, number, kept) => {
    rater = { name, number };
    shown = plan(number);
    ratings = shown.map((_, place) => ({ ...empty(), ...kept?.ratings?.[place] }));
    go(kept?.at ?? 0);
  };
  const readerNumber = () => Number(who.number?.value ?? 1);
  let offered = "";
  const offerName = () => {
    if (who.rater.value.trim() !== offered) return;
    offered = recall(readerNumber())?.name ?? "";
    who.rater.value = offered;
  };
  for (const input of who.querySelectorAll("[name=number]")) input.addEventListener("change", offerName);
  who.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = who.rater.value.trim(), number = readerNumber(), kept = recall(number);
    if (!name) return;
    if (kept && kept.name !== name && !confirm(
      `In this browser ${kept.name} has begun as reader ${number}. Go on with these ratings under the name ${name}?`,
    )) return;
    begin(name, number, kept);
  });

  // A file says by its pairs, and in which order they were shown, whose it is.
  const restore = (table) => {
    const key = (pair, digest, number) => `${pair} ${digest} ${number}`;
    const byKey = new Map(table.map((row) => [key(row.pair, row.digest, row.presentation), row]));
    const fits = review.raters.map((_, place) => plan(place + 1))
      .map((items) => items.filter((one) => byKey.has(key(one.pair.code, one.digest, one.number))).length);
    const best = fits.indexOf(Math.max(...fits));
    if (!fits[best]) return "None of the pairs in this file are those of this page.";
    const kept = plan(best + 1).map((one) => {
      const row = byKey.get(key(one.pair.code, one.digest, one.number));
      return row ? Object.fromEntries(Object.keys(empty()).map((name) => [name, row[name]])) : empty();
    });
    const already = recall(best + 1);
    if (already && !confirm(`In this browser ${already.name} has begun as reader ${best + 1}. Take the file instead?`)) return "";
    begin(table[0].rater, best + 1, { ratings: kept, at: 0 });
    go(kept.findIndex((rating) => !isWhole(rating)) < 0 ? shown.length : kept.findIndex((rating) => !isWhole(rating)));
    return "";
  };
  find("resume").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    const table = readTable(await file.text());
    find("resume-said").textContent = table?.length ? restore(table) : "This is no file that a page like this one saves.";
  });

  // --- hands
  ask.addEventListener("input", (event) => change(event.target.name, event.target.value));
  ask.addEventListener("submit", (event) => {
    event.preventDefault();
    go(at + 1);
  });
  for (const [id, act] of Object.entries({
    back: () => go(at - 1), "end-back": () => go(at - 1), clear, save, "end-save": save,
    "open-next": () => go(nextOpen()), "help-open": () => find("help").showModal(), "help-close": () => find("help").close(),
  })) find(id).addEventListener("click", act);

  const keys = {
    a: () => choose("verdict", "A"), b: () => choose("verdict", "B"), e: () => choose("verdict", "both"),
    n: () => choose("verdict", "neither"), c: () => choose("verdict", "unclear"), t: () => choose("relevance", "10"),
    r: cycle, m: () => ask.comment.focus(), x: clear, k: () => go(at + 1), Enter: () => go(at + 1),
  };
  for (let digit = 0; digit < 10; digit += 1) keys[digit] = () => choose("relevance", String(digit));
  const always = { j: () => go(at - 1), o: () => go(nextOpen()), s: save };

  const isText = (one) => one.matches("textarea, input:not([type]), input[type=text], input[type=file]");
  const pressed = (event) => {
    const { key, target } = event, letters = find("letters").checked;
    if (event.ctrlKey || event.metaKey || event.altKey || find("help").open) return false;
    if (isText(target)) {
      if (key === "Escape") target.blur();
      return false;
    }
    if (key.length === 1 && !letters) return false;
    if (key === "?" || key === "h") {
      find("help").showModal();
      return true;
    }
    if (!rater) return false;
    const name = key.length === 1 ? key.toLowerCase() : key;
    const onItem = !find("item").hidden;
    if (key === "Enter" && target.matches("button, a, summary")) return false;
    if (key.startsWith("Arrow") && target.matches("input")) return false;
    if (onItem && name in keys) keys[name]();
    else if (name in always) always[name]();
    else if (!onItem || !viewer.press(key)) return false;
    return true;
  };
  document.addEventListener("keydown", (event) => {
    if (pressed(event)) event.preventDefault();
  });
  addEventListener("beforeunload", (event) => {
    if (!saved && !store) event.preventDefault();
  });

  find("progress-said").textContent = "";
  offerName();
  open("start");
  who.rater.focus({ preventScroll: true });
  who.rater.select();
})();
